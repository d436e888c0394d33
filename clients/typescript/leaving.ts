/**
 * Connections that the server asked to close, as a draining server does: it still answers what is in flight on them. Node's HTTP/2 takes no
 * ping there. The library would ping on, take the connection for lost and give up what is in flight, so its pings are turned off.
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
  /** By both ends: connections to different addresses may have one port on this side. */
  const leaving = new Set<string>();

  function watch(transport: Transport): void {
    const { session } = transport;
    // A session that is destroyed throws where it is asked for its socket's port.
    if (known.has(transport) || session === undefined || session.destroyed) return;
    const ends = endsOf(session.socket);
    if (ends === undefined) return;
    known.add(transport);
    session.once('goaway', () => {
      leaving.add(ends);
      transport.keepaliveTimeMs = -1;
      transport.clearKeepaliveTimeout?.();
    });
    session.once('close', () => leaving.delete(ends));
  }

  return {
    has(client, socket) {
      const { internalChannel } = client.getChannel() as unknown as Internals;
      for (const subchannel of internalChannel?.wrappedSubchannels ?? []) {
        const { transport } = subchannel.getRealSubchannel();
        if (transport) watch(transport);
      }
      const ends = endsOf(socket);
      return ends !== undefined && leaving.has(ends);
    },
  };
}

/** @returns undefined where there are none: a socket that is closed, or one of Unix */
function endsOf({ localAddress, localPort, remoteAddress, remotePort }: Socket): string | undefined {
  return localPort === undefined || remotePort === undefined
    ? undefined
    : `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}
