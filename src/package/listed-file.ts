/**
 * A file that a manifest lists, as whoever loads it takes it: read and hashed in pieces with turns of the event loop between, so that
 * others go on meanwhile. What is given back is what was hashed, whatever becomes of the file.
 */

import { constants, type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { HyperpolicyError, invalidArgument, notFound } from '../contract/errors.ts';
import { EarlyEnd, readHashed } from '../files/hashed-bytes.ts';
import { createStepper, type Stepper } from '../pacing/unhurried.ts';

/** Plain data that crosses threads. */
export type ListedFile = {
  readonly path: string;
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
};

/** A piece takes about 0.15 ms to hash. */
const pieceBytes = 256 * 1024;

/**
 * The content of a file, in memory of its own.
 * @param step hashes a piece
 * @throws HyperpolicyError not_found: it cannot be read; invalid_argument: it is no regular file, or its size or SHA-256 differs
 */
export async function readListedFile(
  file: ListedFile,
  step: Stepper = createStepper(0),
): Promise<Uint8Array<ArrayBuffer>> {
  let handle: FileHandle | undefined;
  try {
    // Not waiting: a pipe may have come in the place of the file, and nobody writes to it.
    handle = await open(file.path, constants.O_RDONLY | constants.O_NONBLOCK);
    const found = await handle.stat();
    if (!found.isFile()) throw irregular(file.path);
    if (found.size !== file.bytes) throw damaged(file.path, `${file.bytes} bytes`, `${found.size}`);
    return await readPieces(handle, file, step);
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw unreadable(file.path, cause);
  } finally {
    await handle?.close();
  }
}

/**
 * The text of a small file.
 * @throws HyperpolicyError invalid_argument: it is no regular file, or larger; Error of the system where it cannot be read
 */
export async function readRegularText(path: string, bytesMax: number): Promise<string> {
  // Not waiting: nobody may ever write to a pipe.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw irregular(path);
    if (found.size > bytesMax) {
      throw invalidArgument({ where: path, expected: `at most ${bytesMax} bytes`, actual: `${found.size}` });
    }
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

async function readPieces(
  handle: FileHandle,
  { path, bytes, sha256 }: ListedFile,
  step: Stepper,
): Promise<Uint8Array<ArrayBuffer>> {
  const content = new Uint8Array(bytes);
  const actual = await readHashed(handle, content, pieceBytes, step).catch((cause: unknown) => {
    throw cause instanceof EarlyEnd ? damaged(path, `${bytes} bytes`, `${cause.byteCount}`) : cause;
  });
  if (actual !== sha256) throw damaged(path, `SHA-256 ${sha256}`, actual);
  return content;
}

export const irregular = (where: string): HyperpolicyError =>
  invalidArgument({ where, expected: 'a regular file', actual: 'something else' });

export const damaged = (where: string, expected: string, actual: string): HyperpolicyError =>
  invalidArgument({ where, expected, actual, remedy: 'The package is damaged; publish it again' });

export const unreadable = (where: string, cause: unknown): HyperpolicyError =>
  notFound({ where, expected: 'a file that can be read', actual: systemText(cause), cause });

/** As `unreadable`, of a file that a person named: says where it was looked for. */
export const unreadableNamed = (where: string, path: string, cause: unknown): HyperpolicyError =>
  (cause as NodeJS.ErrnoException).code === 'ENOENT'
    ? notFound({ where, expected: `a file at ${resolve(path)}`, actual: 'none', cause })
    : unreadable(where, cause);

/** The system's code and text without its path, which the error names already. */
export const systemText = (cause: unknown): string => (cause as Error).message.split(',')[0]!;
