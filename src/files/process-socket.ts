/**
 * A Unix socket as the sign of a living process. The system drops it with the process, however that ends, and every process of this machine
 * that shares the folder can ask it, even from another container. A process id has neither property.
 */

import { closeSync, existsSync, openSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';

/** Systems take about 100 bytes as the path of a socket; the names here need some of them. */
const folderBytesMax = 60;
/** A process that does not answer within this time lives, and is busy. */
const answerTimeoutMs = 1000;

/** A short name for a folder's path of any length while it is open, if the system shows open files. */
export function shortPath(folder: string): { readonly path: string; close(): void } {
  if (Buffer.byteLength(folder) <= folderBytesMax || !existsSync('/proc/self/fd')) {
    return { path: folder, close() {} };
  }
  const descriptor = openSync(folder, 'r');
  return { path: `/proc/self/fd/${descriptor}`, close: () => closeSync(descriptor) };
}

/**
 * Listens at a path that is short enough, for as long as the process lives; it keeps no process alive.
 * @param answer what those that ask are told
 * @throws Error of the system, for example where a file system has no sockets
 */
export async function openSocket(path: string, answer: () => string): Promise<Server> {
  const server = createServer((socket) => {
    // The asking process may have ended before it gets its answer.
    socket.on('error', () => {});
    socket.end(answer());
  });
  server.unref();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    // Every user may ask, who can enter the folder.
    server.listen({ path, writableAll: true }, resolve);
  });
  return server;
}

/**
 * Asks the process that listens at a path.
 * @returns its answer, empty if it gave none in time; undefined if none listens
 * @throws Error of the system
 */
export function askSocket(path: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = '';
    socket.setTimeout(answerTimeoutMs, () => socket.destroy());
    socket.on('data', (data) => {
      text += String(data);
    });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(undefined);
      // It left before it answered.
      else if (error.code === 'ECONNRESET') resolve(askSocket(path));
      else reject(error);
    });
    socket.once('close', () => resolve(text));
  });
}
