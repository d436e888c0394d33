/**
 * The lock of a run directory: a Unix socket `lock-<id>` in it that the process listens on. The system drops it with the process,
 * however that ends, and every process that shares the directory on this machine can ask it, even from another container. A process id has neither property.
 *
 * A process puts its own socket there first and then asks all others. One that holds the lock wins; of two that ask, the lower id
 * waits for what becomes of the other, and the higher gives way. So at most one holds it, and no dead one has to be replaced.
 */

import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, openSync, readdirSync, rmSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { failedPrecondition } from '../../src/contract/errors.ts';

/** Systems take about 100 bytes as the path of a socket; the names here need some of them. */
const folderBytesMax = 60;
/** A process that does not answer within this time counts as busy: it has the lock. */
const answerTimeoutMs = 1000;
const askAgainMs = 10;

/**
 * Takes the lock of a directory.
 * @returns gives it back, at once
 * @throws HyperpolicyError failed_precondition: another process has it
 */
export async function lockDirectory(directory: string): Promise<() => void> {
  const short = shortPath(directory);
  try {
    const place = await openPlace(directory, short.path);
    return await takeLock(place, directory);
  } finally {
    short.close();
  }
}

/** A short name for a path of any length while it is open, if the system shows open files. */
function shortPath(directory: string): { readonly path: string; close(): void } {
  if (Buffer.byteLength(directory) <= folderBytesMax || !existsSync('/proc/self/fd')) {
    return { path: directory, close() {} };
  }
  const descriptor = openSync(directory, 'r');
  return { path: `/proc/self/fd/${descriptor}`, close: () => closeSync(descriptor) };
}

/** This process's socket in the directory, with which it asks for the lock. */
type Place = {
  /** Short enough for the path of a socket. */
  readonly folder: string;
  /** Prefix of the sockets' names, and the full name of this one. */
  readonly prefix: string;
  readonly name: string;
  /** The answer of the socket. */
  state: 'asks' | 'holds';
  /** Removes the socket, at once. */
  readonly leave: () => void;
};

async function openPlace(directory: string, short: string): Promise<Place> {
  const id = randomUUID().slice(0, 8);
  try {
    return await listenIn(short, directory, 'lock-', id);
  } catch {
    // A file system without sockets, or a folder that cannot be written, which is refused when the run's files are.
    const { dev, ino } = statSync(directory);
    return await listenIn(tmpdir(), tmpdir(), `hyperpolicy-run-${dev}-${ino}-`, id);
  }
}

/** @param keptFolder the folder by the name that it has for as long as the lock is held */
async function listenIn(folder: string, keptFolder: string, prefix: string, id: string): Promise<Place> {
  const name = `${prefix}${id}`;
  const server = createServer((socket) => {
    // The asking process may have ended before it gets its answer.
    socket.on('error', () => {});
    socket.end(`${process.pid} ${place.state}`);
  });
  server.unref();
  const place: Place = {
    folder,
    prefix,
    name,
    state: 'asks',
    leave() {
      rmSync(join(keptFolder, name), { force: true });
      server.close();
    },
  };
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(join(folder, name), resolve);
  });
  return place;
}

/** @throws HyperpolicyError if another process has it */
async function takeLock(place: Place, directory: string): Promise<() => void> {
  const { folder, prefix, name, leave } = place;
  try {
    const others = readdirSync(folder).filter((other) => other.startsWith(prefix) && other !== name);
    for (const other of others) await outlive(join(folder, other), other < name, directory);
  } catch (error) {
    leave();
    throw error;
  }
  place.state = 'holds';
  return leave;
}

/** Returns when no process listens on the socket, which is then removed. @throws HyperpolicyError if this process must give way */
async function outlive(path: string, isFirst: boolean, directory: string): Promise<void> {
  for (;;) {
    const owner = await ownerOf(path);
    if (owner === undefined) {
      rmSync(path, { force: true });
      return;
    }
    if (owner.isHolder || isFirst) {
      throw failedPrecondition({
        where: `run directory "${directory}"`,
        expected: 'one that no other process trains in',
        actual: `${owner.name} at work`,
        remedy: 'Wait for it, or name another directory',
      });
    }
    await sleep(askAgainMs);
  }
}

type Owner = { readonly name: string; readonly isHolder: boolean };

/** The process that listens there; undefined if there is none. */
function ownerOf(path: string): Promise<Owner | undefined> {
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
      else if (error.code === 'ECONNRESET') resolve(ownerOf(path));
      else reject(error);
    });
    socket.once('close', () => {
      const [, pid, state] = /^(\d+) (holds|asks)$/.exec(text) ?? [];
      resolve({ name: pid === undefined ? 'another process' : `process ${pid}`, isHolder: state !== 'asks' });
    });
  });
}
