/**
 * Files that end with their program, in one private directory that several of its processes read. A file is visible whole or not at all.
 * Its modification time is the time of its last use, by any process. If the directory is removed, for example by a cleaner of temporary
 * files, the next write creates it again.
 *
 * Nothing is flushed to the disk, which would take milliseconds for each file. Files that must survive a power cut: durable-files.ts.
 */

import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import type { Server } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { unwritableFolder } from './folders.ts';
import { askSocket, openSocket, shortPath } from './process-socket.ts';

/** Names of directories have the machine, since machines may share a directory. */
const prefixOf = (use: string): string => `hyperpolicy-${use}-${hostname()}-`;

/** In a directory: the socket that its program listens on. */
const ownerName = '.owner';

export type SpoolDirectory = {
  readonly path: string;
  /** Removes it, at once. */
  remove(): void;
};

/**
 * Creates the directory, readable by this user only, and removes those that killed programs of this machine left there: those with a
 * socket that nobody listens on. Where the file system has no sockets, a killed program's directory stays.
 * @param parent the system's temporary directory if null
 * @param use part of its name
 * @throws HyperpolicyError failed_precondition: it cannot be created
 */
export async function createSpoolDirectory(parent: string | null, use: string): Promise<SpoolDirectory> {
  const where = parent ?? tmpdir();
  const prefix = prefixOf(use);
  await removeLeftOvers(where, prefix);
  let path: string;
  try {
    path = mkdtempSync(join(where, `${prefix}${process.pid}-`));
  } catch (cause) {
    throw unwritableFolder(`${use} in ${where}`, cause);
  }
  const owner = await openOwnerSocket(path);
  return {
    path,
    remove() {
      removeDirectory(path);
      owner?.close();
    },
  };
}

/** Undefined where the file system has none. */
async function openOwnerSocket(directory: string): Promise<Server | undefined> {
  const short = shortPath(directory);
  // Renamed once it listens: who finds it by its name may ask it.
  const aside = `${ownerName}-${process.pid}`;
  try {
    const owner = await openSocket(join(short.path, aside), () => `${process.pid}`);
    renameSync(join(directory, aside), join(directory, ownerName));
    return owner;
  } catch {
    return undefined;
  } finally {
    short.close();
  }
}

async function removeLeftOvers(where: string, prefix: string): Promise<void> {
  let names: string[] = [];
  try {
    names = readdirSync(where);
  } catch {
    // The directory can be written but not listed: old directories stay.
  }
  const found = names.filter((name) => name.startsWith(prefix)).map((name) => join(where, name));
  await Promise.all(
    found.map(async (directory) => {
      if (await isLeftOver(directory)) removeDirectory(directory);
    }),
  );
}

async function isLeftOver(directory: string): Promise<boolean> {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  // Never a directory of another user, or a link.
  if (found?.isDirectory() !== true || found.uid !== process.getuid?.()) return false;
  try {
    // Without it nobody knows whether its program lives.
    if (!lstatSync(join(directory, ownerName)).isSocket()) return false;
    const short = shortPath(directory);
    try {
      return (await askSocket(join(short.path, ownerName))) === undefined;
    } finally {
      short.close();
    }
  } catch {
    // It is being removed, or cannot be asked.
    return false;
  }
}

const removeDirectory = (directory: string): void => rmSync(directory, { recursive: true, force: true });

export type SpoolFile = { readonly name: string; readonly usedAtMs: number; readonly bytes: number };

export type SpoolOptions = {
  readonly directory: string;
  /** Writes a new file; that of the file system unless a test has its own. */
  readonly writeNew?: (path: string, content: Uint8Array) => Promise<void>;
};

const writeToFile = (path: string, content: Uint8Array) => writeFile(path, content, { flag: 'wx', mode: 0o600 });

/** Times are milliseconds of a clock that its processes share. */
export class Spool {
  readonly directory: string;
  readonly #writeNew: (path: string, content: Uint8Array) => Promise<void>;
  #isClosed = false;

  constructor({ directory, writeNew = writeToFile }: SpoolOptions) {
    this.directory = directory;
    this.#writeNew = writeNew;
  }

  /** @throws Error as the file system's; nothing is left behind */
  async write(name: string, content: Uint8Array, usedAtMs: number): Promise<void> {
    const aside = this.#pathOf(`${name}.part`);
    try {
      await this.#writeInDirectory(aside, content);
      await utimes(aside, usedAtMs / 1000, usedAtMs / 1000);
      await rename(aside, this.#pathOf(name));
    } catch (error) {
      await rm(aside, { force: true });
      throw error;
    }
  }

  /** Undefined if there is none. Synchronous: files are small or just written, so reading takes less time than waiting would. */
  read(name: string): Uint8Array | undefined {
    return unlessMissing(() => readFileSync(this.#pathOf(name)));
  }

  /** When the file was last used; undefined if there is none. */
  usedAtMs(name: string): number | undefined {
    return statSync(this.#pathOf(name), { throwIfNoEntry: false })?.mtimeMs;
  }

  /** Sets the time of the last use; false if there is no such file. */
  touch(name: string, usedAtMs: number): boolean {
    return isThere(() => utimesSync(this.#pathOf(name), usedAtMs / 1000, usedAtMs / 1000));
  }

  /** False if there was no such file. */
  remove(name: string): boolean {
    return isThere(() => unlinkSync(this.#pathOf(name)));
  }

  /** Every file, including those that are being written; none if the directory is gone. Hidden ones are not of the spool. */
  async list(): Promise<SpoolFile[]> {
    const names = await readdir(this.directory).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const files: SpoolFile[] = [];
    for (const name of names.filter((one) => !one.startsWith('.'))) {
      const found = await stat(this.#pathOf(name)).catch(() => undefined);
      if (found !== undefined) files.push({ name, usedAtMs: found.mtimeMs, bytes: found.size });
    }
    return files;
  }

  /** From now on a missing directory is not created again. */
  close(): void {
    this.#isClosed = true;
  }

  #pathOf(name: string): string {
    return join(this.directory, name);
  }

  async #writeInDirectory(path: string, content: Uint8Array): Promise<void> {
    try {
      await this.#writeNew(path, content);
    } catch (error) {
      if (this.#isClosed || !isMissing(error)) throw error;
      makeAgain(this.directory);
      await this.#writeNew(path, content);
    }
  }
}

/** Creates it with the same rights. Another process of the server may do so first. */
function makeAgain(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** Undefined if the file is missing. */
function unlessMissing<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** False if the file is missing. */
const isThere = (use: () => void): boolean =>
  unlessMissing(() => {
    use();
    return true;
  }) ?? false;
