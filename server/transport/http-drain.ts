/** The end of an HTTP port: clients learn it from their next answer, and what is on its way is answered. */

import type { Server, ServerResponse } from 'node:http';
import { Server as SocketServer } from 'node:net';
import type { GuardedConnections } from '../../src/contract/http-connections.ts';

/** How long a connection without a request stays: a request that was sent before the client learned of the end comes within this time. */
const idleMs = 100;

/**
 * @param server listens, or will
 * @returns accepts no more connections; requests in flight finish, for at most `drainMs`
 */
export function createHttpDrain(server: Server, connections: GuardedConnections): (drainMs: number) => Promise<void> {
  const unanswered = new Set<ServerResponse>();
  let isDraining = false;
  // Before the listener that answers.
  server.prependListener('request', (_request, response: ServerResponse) => {
    if (isDraining) return endAfter(response);
    unanswered.add(response);
    response.once('close', () => unanswered.delete(response));
  });
  return (drainMs) =>
    new Promise((resolve) => {
      isDraining = true;
      for (const response of unanswered) endAfter(response);
      // What has come by then is read first.
      const idle = setTimeout(() => setImmediate(connections.cutIdle), Math.min(idleMs, drainMs));
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

/** The connection ends with this answer, unless its head is on the way. */
function endAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('connection', 'close');
}
