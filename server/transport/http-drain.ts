/** The end of an HTTP port: clients learn it from their next answer, and what is on its way is answered. */

import type { Server, ServerResponse } from 'node:http';
import { type Socket, Server as SocketServer } from 'node:net';
import type { GuardedConnections } from '../../src/contract/http-connections.ts';

/** How long a connection without a request stays: a request that was sent before the client learned of the end comes within this time. */
const idleMs = 100;

/**
 * @param server listens, or will
 * @returns accepts no more connections; requests in flight finish, for at most `drainMs`
 */
export function createHttpDrain(server: Server, connections: GuardedConnections): (drainMs: number) => Promise<void> {
  /** Responses that are not sent to their last byte, by the connection, which stays here until it closes. */
  const unsent = new Map<Socket, Set<ServerResponse>>();
  let isDraining = false;
  const responsesOf = (socket: Socket): Set<ServerResponse> => {
    const known = unsent.get(socket);
    if (known !== undefined) return known;
    const responses = new Set<ServerResponse>();
    unsent.set(socket, responses);
    // A response that waits behind another does not learn that the client left.
    socket.once('close', () => unsent.delete(socket));
    return responses;
  };
  // Before the listener that answers.
  server.prependListener('request', ({ socket }, response: ServerResponse) => {
    const responses = responsesOf(socket);
    responses.add(response);
    if (isDraining) endAfter(response);
    response.once('close', () => {
      if (!isDraining) {
        responses.delete(response);
        return;
      }
      // Its head may have been sent before the drain, and have said that the connection stays.
      const leave = () => {
        responses.delete(response);
        if (responses.size === 0) socket.destroySoon();
      };
      afterReading(idleMs, leave).unref();
    });
  });
  return (drainMs) =>
    new Promise((resolve) => {
      isDraining = true;
      for (const responses of unsent.values()) for (const response of responses) endAfter(response);
      const idle = afterReading(Math.min(idleMs, drainMs), () => {
        const busy = [...unsent].filter(([, responses]) => responses.size > 0);
        connections.cutAllBut(busy.map(([socket]) => socket));
      });
      const cut = setTimeout(connections.cut, drainMs);
      server.once('close', () => {
        clearTimeout(idle);
        clearTimeout(cut);
        // Ends a timer of its own; nothing else is left.
        server.close();
        resolve();
      });
      // The HTTP server's own `close` would cut idle connections at once.
      SocketServer.prototype.close.call(server);
    });
}

/** What has come by then is read first. */
const afterReading = (ms: number, run: () => void) => setTimeout(() => setImmediate(run), ms);

/** The connection ends with this answer, unless its head is on the way. */
function endAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
}
