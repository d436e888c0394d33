/**
 * Connections that the server told to leave, as a server does that drains: what is in flight on them is still answered. Node's HTTP/2 takes no
 * ping there, and the library, which would ping on, would take that for a connection that is lost and give up what is in flight.
 */

import type { ClientHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type grpc from '@grpc/grpc-js';

/** Members of the library's channel that its interface does not declare. */
type Internals = {
  readonly internalChannel?: { readonly wrappedSubchannels?: Iterable<{ getRealSubchannel(): Subchannel }> };
};
type Subchannel = { readonly transport?: Transport | null };
type Transport = { readonly session?: ClientHttp2Session; keepaliveTimeMs?: number; clearKeepaliveTimeout?(): void };

export type Leaving = {
  /** To be asked again and again: it finds connections, and has the library leave those alone that leave. */
  has(client: grpc.Client, socket: Socket): boolean;
};

export function createLeaving(): Leaving {
  const known = new WeakSet<Transport>();
  /** By the port on this side, which no two connections share. */
  const leaving = new Set<number>();

  function watch(transport: Transport): void {
    const { session } = transport;
    const port = session?.socket.localPort;
    if (known.has(transport) || session === undefined || session.destroyed || port === undefined) return;
    known.add(transport);
    session.once('goaway', () => {
      leaving.add(port);
      transport.keepaliveTimeMs = -1;
      transport.clearKeepaliveTimeout?.();
    });
    session.once('close', () => leaving.delete(port));
  }

  return {
    has(client, socket) {
      const { internalChannel } = client.getChannel() as unknown as Internals;
      for (const subchannel of internalChannel?.wrappedSubchannels ?? []) {
        const { transport } = subchannel.getRealSubchannel();
        if (transport) watch(transport);
      }
      return socket.localPort !== undefined && leaving.has(socket.localPort);
    },
  };
}
