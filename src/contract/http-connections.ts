/** The connections of an HTTP port: no more than a bound, those that say nothing go first, and nobody leaves answers unread. */

import type { Server } from 'node:http';
import type { Socket } from 'node:net';

export type GuardedConnections = {
  /** Open now. */
  readonly count: number;
  /** Ends all of them. */
  cut(): void;
  /** Ends all but those on which these requests came. */
  cutAllBut(kept: readonly Socket[]): void;
};

/** Identifies a connection: it is the same for a TLS socket and the socket below it. */
export const remoteEnd = ({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string =>
  `${remoteAddress} ${remotePort}`;

/**
 * Cuts connections over the bound, first those without a request, and those that leave an answer unread. Not with
 * `server.maxConnections`: that refuses the new one, whoever the others are, and with several processes Node sends it back to the parent,
 * which passes it from one full process to the next for ever.
 * @param server of HTTP or HTTPS
 * @param unreadMsMax how long an answer may stay unread, since the client last read some of it
 */
export function guardConnections(server: Server, countMax: number, unreadMsMax = 10_000): GuardedConnections {
  /** By the connection: its remote end. */
  const open = new Map<Socket, string>();
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
    open.set(socket, from);
    silent.set(from, socket);
    socket.once('close', () => {
      open.delete(socket);
      if (silent.get(from) === socket) silent.delete(from);
    });
    // It is the new one if all others have sent a request.
    if (open.size > countMax) cutOldest();
  });
  server.on('request', ({ socket }) => silent.delete(remoteEnd(socket)));
  cutUnread(server, unreadMsMax);
  return {
    get count() {
      return open.size;
    },
    // The server's own list lacks connections during their TLS handshake.
    cut() {
      for (const socket of open.keys()) socket.destroy();
    },
    // `server.closeIdleConnections` leaves those that never had a request, and ends those with an answer that is written and not yet sent.
    cutAllBut(kept) {
      const spared = new Set(kept.map(remoteEnd));
      for (const [socket, from] of open) if (!spared.has(from)) socket.destroy();
    },
  };
}

/**
 * Cuts who leaves answers unread. The server ends a connection at its socket's timeout, which starts anew whenever the client reads. It is
 * set only while bytes wait to be read: on one connection a call that takes long may follow an answer that is read.
 */
function cutUnread(server: Server, unreadMsMax: number): void {
  const asking = new Set<Socket>();
  server.on('request', ({ socket }) => {
    if (asking.has(socket)) return;
    asking.add(socket);
    socket.once('close', () => asking.delete(socket));
  });
  const look = () => {
    for (const socket of asking) {
      const isUnread = socket.writableLength > 0;
      // Another timeout is the server's own, which it sets after the last answer, for the next request.
      const isLimited = socket.timeout === unreadMsMax;
      if (isUnread !== isLimited) socket.setTimeout(isUnread ? unreadMsMax : 0);
    }
  };
  const looking = setInterval(look, unreadMsMax / 10).unref();
  server.once('close', () => clearInterval(looking));
}
