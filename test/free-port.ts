/** A port for a program that does not tell which one it took. */

import { createServer } from 'node:net';

/** Below the ports that systems give to connections and to port 0, so that nobody else gets it before the program. */
const [first, count] = [20_000, 12_000] as const;
const given = new Set<number>();

export async function freePort(): Promise<number> {
  const port = first + Math.floor(Math.random() * count);
  if (given.has(port)) return freePort();
  given.add(port);
  const server = createServer();
  const isFree = await new Promise<boolean>((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => (error.code === 'EADDRINUSE' ? resolve(false) : reject(error));
    server.once('error', failed).listen(port, '127.0.0.1', () => resolve(true));
  });
  if (!isFree) return freePort();
  await new Promise((resolve) => server.close(resolve));
  return port;
}
