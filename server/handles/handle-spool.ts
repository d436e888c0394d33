/**
 * The files behind context handles: one private directory that every process of a server reads. A file is visible whole or not at all,
 * and its modification time is when it was last used, by whichever process. Where a cleaner of temporary files takes the directory,
 * the next write makes it again.
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

/** Of directories: the machine (a temporary directory may be shared by containers) and the process that made them. */
const namePrefix = (): string => `hyperpolicy-handles-${hostname()}-`;

/**
 * Creates the directory, for this user alone, and removes those that killed servers of this machine left.
 * @param parent where; the system's temporary directory if null
 */
export function createSpoolDirectory(parent: string | null): string {
  const where = parent ?? tmpdir();
  removeLeftOvers(where);
  return mkdtempSync(join(where, `${namePrefix()}${process.pid}-`));
}

function removeLeftOvers(where: string): void {
  let names: string[] = [];
  try {
    names = readdirSync(where);
  } catch {
    // A directory that may be written to but not listed: what is left there stays.
  }
  for (const name of names) if (isLeftOver(where, name)) removeSpoolDirectory(join(where, name));
}

function isLeftOver(where: string, name: string): boolean {
  if (!name.startsWith(namePrefix())) return false;
  const pid = Number(name.slice(namePrefix().length).split('-')[0]);
  if (!Number.isSafeInteger(pid) || pid <= 0 || isAlive(pid)) return false;
  const found = lstatSync(join(where, name), { throwIfNoEntry: false });
  // A directory of another user, or a link in its place, is left alone.
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

/** Removes the directory and all that is in it. */
export const removeSpoolDirectory = (directory: string): void => rmSync(directory, { recursive: true, force: true });

export type SpoolFile = { readonly name: string; readonly usedAtMs: number; readonly bytes: number };

export type SpoolOptions = {
  readonly directory: string;
  /** Writes a new file; that of the file system unless a test has its own. */
  readonly writeNew?: (path: string, content: Uint8Array) => Promise<void>;
};

const writeToFile = (path: string, content: Uint8Array) => writeFile(path, content, { flag: 'wx', mode: 0o600 });

/** Times are milliseconds of the wall clock. */
export class Spool {
  readonly #directory: string;
  readonly #writeNew: (path: string, content: Uint8Array) => Promise<void>;
  #isClosed = false;

  constructor({ directory, writeNew = writeToFile }: SpoolOptions) {
    this.#directory = directory;
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

  /** Undefined where there is none. The file was just written or is small: reading it costs less than waiting for it. */
  read(name: string): Uint8Array | undefined {
    return unlessMissing(() => readFileSync(this.#pathOf(name)));
  }

  /** When the file was last used; undefined where there is none. */
  usedAtMs(name: string): number | undefined {
    return statSync(this.#pathOf(name), { throwIfNoEntry: false })?.mtimeMs;
  }

  /** Notes a use; false where there is no such file. */
  touch(name: string, usedAtMs: number): boolean {
    return isThere(() => utimesSync(this.#pathOf(name), usedAtMs / 1000, usedAtMs / 1000));
  }

  /** False where there was no such file. */
  remove(name: string): boolean {
    return isThere(() => unlinkSync(this.#pathOf(name)));
  }

  /** Every file, those that are being written included; none where the directory is gone. */
  async list(): Promise<SpoolFile[]> {
    const names = await readdir(this.#directory).catch((error: unknown) => {
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

  /** From now on a directory that is gone is not made again. */
  close(): void {
    this.#isClosed = true;
  }

  #pathOf(name: string): string {
    return join(this.#directory, name);
  }

  async #writeInDirectory(path: string, content: Uint8Array): Promise<void> {
    try {
      await this.#writeNew(path, content);
    } catch (error) {
      if (this.#isClosed || !isMissing(error)) throw error;
      makeAgain(this.#directory);
      await this.#writeNew(path, content);
    }
  }
}

/** For this user alone, as it was. Another process of the server may be first. */
function makeAgain(directory: string): void {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

const isMissing = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ENOENT';

/** Undefined where the file is missing. */
function unlessMissing<T>(use: () => T): T | undefined {
  try {
    return use();
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Whether the file is there to be used so. */
const isThere = (use: () => void): boolean =>
  unlessMissing(() => {
    use();
    return true;
  }) ?? false;
