/** The connections of an HTTP port: no more than a bound, those that say nothing go first, and nobody leaves answers unread. */

import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export type GuardedConnections = {
  /** Open now. */
  readonly count: number;
  /** Ends all of them. */
  cut(): void;
};

/** How long an answer may stay unread, since the client last read some of it. */
const unreadMsMax = 10_000;

/** Identifies a connection: it is the same for a TLS socket and the socket below it. */
export const remoteEnd = ({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string =>
  `${remoteAddress} ${remotePort}`;

/**
 * Cuts connections over the bound, first those without a request, and those that leave an answer unread. Not with
 * `server.maxConnections`: that refuses the new one, whoever the others are, and with several processes Node sends it back to the parent,
 * which passes it from one full process to the next for ever.
 * @param server of HTTP or HTTPS
 */
export function guardConnections(server: Server, countMax: number): GuardedConnections {
  const open = new Set<Socket>();
  /** Connections without a request, by remote end; the oldest first. */
  const silent = new Map<string, Socket>();
  const cutOldest = () => {
    const [from, socket] = silent.entries().next().value!;
    silent.delete(from);
    open.delete(socket);
    socket.destroy();
  };
  server.on('connection', (socket) => {
    const from = remoteEnd(socket);
    open.add(socket);
    silent.set(from, socket);
    socket.once('close', () => {
      open.delete(socket);
      if (silent.get(from) === socket) silent.delete(from);
    });
    // It is the new one if all others have sent a request.
    if (open.size > countMax) cutOldest();
  });
  server.on('request', ({ socket }, response) => {
    silent.delete(remoteEnd(socket));
    limitUnread(response, socket);
  });
  return {
    get count() {
      return open.size;
    },
    // The server's own list lacks connections during their TLS handshake.
    cut() {
      for (const socket of open) socket.destroy();
    },
  };
}

/** The server ends a connection at its timeout, and sets another one when the answer has gone out. */
function limitUnread(response: ServerResponse, socket: Socket): void {
  response.once('prefinish', () => socket.setTimeout(unreadMsMax));
}
