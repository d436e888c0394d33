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
  rmSync,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { unwritableFolder } from './folders.ts';

/** Names of directories have the machine, since containers may share a temporary directory, and the process that made them. */
const prefixOf = (use: string): string => `hyperpolicy-${use}-${hostname()}-`;

/**
 * Creates the directory, readable by this user only, and removes those that killed programs of this machine left there.
 * @param parent the system's temporary directory if null
 * @param use part of its name
 * @throws HyperpolicyError failed_precondition: it cannot be created
 */
export function createSpoolDirectory(parent: string | null, use: string): string {
  const where = parent ?? tmpdir();
  const prefix = prefixOf(use);
  removeLeftOvers(where, prefix);
  try {
    return mkdtempSync(join(where, `${prefix}${process.pid}-`));
  } catch (cause) {
    throw unwritableFolder(`${use} in ${where}`, cause);
  }
}

function removeLeftOvers(where: string, prefix: string): void {
  let names: string[] = [];
  try {
    names = readdirSync(where);
  } catch {
    // The directory can be written but not listed: old directories stay.
  }
  for (const name of names)
    if (name.startsWith(prefix) && isLeftOver(where, name, prefix)) removeSpoolDirectory(join(where, name));
}

function isLeftOver(where: string, name: string, prefix: string): boolean {
  const pid = Number(name.slice(prefix.length).split('-')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0 || isAlive(pid)) return false;
  const found = lstatSync(join(where, name), { throwIfNoEntry: false });
  // Never a directory of another user, or a link.
  return found?.isDirectory() === true && found.uid === process.getuid?.();
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

export const removeSpoolDirectory = (directory: string): void => rmSync(directory, { recursive: true, force: true });

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

  /** Every file, including those that are being written; none if the directory is gone. */
  async list(): Promise<SpoolFile[]> {
    const names = await readdir(this.directory).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const files: SpoolFile[] = [];
    for (const name of names) {
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
