/**
 * Writing that survives a kill or a power cut: a directory is filled aside, each file and the directory itself are flushed
 * to the disk, and one rename makes it visible. Readers see the whole directory or nothing.
 */

import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

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
 * Creates a directory that `fill` writes into; whatever it throws, nothing is left behind. A kill may leave it, so its
 * name should be one that readers skip.
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

/**
 * Makes a filled directory visible under its final name, atomically.
 * @returns false where a directory of that name already holds something; `aside` is then untouched
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

/** Path of a directory aside that readers skip and no two writers share. */
export const asidePath = (parent: string, purpose: string, unique: string): string =>
  join(parent, `.${purpose}-${unique}`);
