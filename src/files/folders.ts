/** Makes folders, and refuses those that cannot be written before the work whose result they are for. */

import { mkdirSync, mkdtempSync, rmdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { failedPrecondition, type HyperpolicyError } from '../contract/errors.ts';

/**
 * Makes a folder, and those above it that are missing. Not by `recursive`: where a file system says of each new folder that there is no
 * such file, as /proc does, that never returns in Node 20.
 * @throws what the file system throws; also if something else is there
 */
export function makeFolder(path: string): void {
  if (isFolder(path)) return;
  const parent = dirname(path);
  if (parent !== path) makeFolder(parent);
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have made it meanwhile.
    if (!isFolder(path)) throw error;
  }
}

/**
 * Makes the folder as `makeFolder` does, and writes into it: the rights alone do not tell, of /proc for example.
 * @param where that is told of in the error, e.g. `--store a/b`
 * @throws HyperpolicyError failed_precondition: it cannot be made, or nothing can be written there
 */
export function makeWritableFolder(where: string, path: string): void {
  try {
    makeFolder(path);
    rmdirSync(mkdtempSync(join(path, '.writable-')));
  } catch (cause) {
    throw unwritableFolder(where, cause);
  }
}

/** @param cause what the file system threw */
export const unwritableFolder = (where: string, cause: unknown): HyperpolicyError =>
  failedPrecondition({
    where,
    expected: 'a directory that can be written',
    actual: (cause as Error).message,
    remedy: isFullDisk(cause) ? `${makeRoom} and give the same command again` : undefined,
    cause,
  });

/** What to do about a full disk. */
export const makeRoom = 'Make room on its disk';

/** Whether a disk, or a share of it, is full. @param cause what the file system threw */
export const isFullDisk = (cause: unknown): boolean =>
  ['ENOSPC', 'EDQUOT'].includes((cause as NodeJS.ErrnoException).code ?? '');

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
