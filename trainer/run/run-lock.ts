/**
 * The lock of a run directory: a Unix socket `lock-<id>` in it that the process listens on, as long as it lives
 * (src/files/process-socket.ts).
 *
 * A process puts its own socket there first and then asks all others. One that holds the lock wins; of two that ask, the lower id
 * waits for what becomes of the other, and the higher gives way. So at most one holds it, and no dead one has to be replaced.
 */

import { randomUUID } from 'node:crypto';
import { readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { askSocket, openSocket, shortPath } from '../../src/files/process-socket.ts';

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
  const server = await openSocket(join(folder, name), () => `${process.pid} ${place.state}`);
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
      removeDead(path);
      return;
    }
    if (owner.isHolder || isFirst) {
      throw failedPrecondition({
        where: `run directory "${directory}"`,
        expected: 'one that no other process trains in',
        actual: `${owner.name} at work`,
        remedy: 'Wait for it, or name another directory: train has --run for that, quickstart --runs',
      });
    }
    await sleep(askAgainMs);
  }
}

function removeDead(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Another user's, among temporary files: it stays, and does no harm.
  }
}

type Owner = { readonly name: string; readonly isHolder: boolean };

/** The process that listens there; undefined if there is none. */
async function ownerOf(path: string): Promise<Owner | undefined> {
  const answer = await askSocket(path);
  if (answer === undefined) return undefined;
  const [, pid, state] = /^(\d+) (holds|asks)$/.exec(answer) ?? [];
  return { name: pid === undefined ? 'another process' : `process ${pid}`, isHolder: state !== 'asks' };
}
