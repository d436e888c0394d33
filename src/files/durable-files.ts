/**
 * Writing that survives a kill or a power cut: a file or a directory is filled aside, it and the directory that holds it are flushed to
 * the disk, and one rename makes it visible. Readers see the new content whole, or what was there before.
 */

import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, parse } from 'node:path';

/** Writes a new file and waits until its bytes are on the disk. */
export async function writeDurably(path: string, content: Uint8Array | string): Promise<void> {
  const file = await open(path, 'wx');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Waits until the entries of a directory (names, renames) are on the disk. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/**
 * Gives a file new content, or creates it. Where that fails, the file is as it was.
 * @param writer names the file aside. No two writers at once may have the same; one that always has the same writes over what it left
 *   when it was killed
 */
export async function replaceFile(
  path: string,
  content: Uint8Array | string,
  writer: string = randomUUID(),
): Promise<void> {
  const aside = asidePath(dirname(path), parse(path).name, writer);
  try {
    await rm(aside, { force: true });
    await writeDurably(aside, content);
    await rename(aside, path);
  } catch (error) {
    await rm(aside, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** The same, at once. */
export function replaceFileSync(path: string, content: Uint8Array | string, writer: string): void {
  const aside = asidePath(dirname(path), parse(path).name, writer);
  try {
    writeFileSync(aside, content, { flush: true });
    renameSync(aside, path);
  } catch (error) {
    rmSync(aside, { force: true });
    throw error;
  }
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/**
 * Creates a directory that `fill` writes into. If `fill` throws, the directory is removed. A kill may leave it, so readers should skip
 * its name, and `removeLeftAside` removes it later.
 */
export async function withDirectoryAside<T>(aside: string, fill: () => Promise<T>): Promise<T> {
  await mkdir(aside);
  try {
    return await fill();
  } catch (error) {
    await rm(aside, { recursive: true, force: true });
    throw error;
  }
}

/** Nobody takes so long between two files that he writes. */
const leftAfterMs = 24 * 60 * 60 * 1000;

/**
 * Removes what killed writers left beside a new directory aside: directories of the same purpose in which no file was made for a day. What
 * cannot be removed stays.
 * @param aside as asidePath made it, a moment ago
 */
export async function removeLeftAside(aside: string, purpose: string): Promise<void> {
  const parent = dirname(aside);
  const prefix = basename(asidePath(parent, purpose, ''));
  // By the clock of the file system, as other machines may share it.
  const { mtimeMs: nowMs } = await lstat(aside);
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith(prefix)) continue;
    const found = await lstat(join(parent, name)).catch(() => undefined);
    if (found?.isDirectory() !== true || nowMs - found.mtimeMs < leftAfterMs) continue;
    await rm(join(parent, name), { recursive: true, force: true }).catch(() => {});
  }
}

/**
 * Makes a filled directory visible under its final name, atomically.
 * @returns false if a directory of that name already holds something; `aside` is then untouched
 */
export async function revealDirectory(aside: string, target: string): Promise<boolean> {
  await syncDirectory(aside);
  try {
    await rename(aside, target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return false;
    throw error;
  }
  await syncDirectory(dirname(target));
  return true;
}

/** Path aside that readers skip and no two writers share. */
export const asidePath = (parent: string, purpose: string, unique: string): string =>
  join(parent, `.${purpose}-${unique}`);
