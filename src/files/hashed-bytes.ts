/**
 * Bytes between memory and an open file, hashed on the way, a slice at a time: Node neither hashes nor reads more than 2^31 - 1 bytes
 * at once (to read more aborts the process), and others get a turn between two slices.
 */

import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

/** Takes about 10 ms to hash, or 40 ms on a processor without instructions for it. */
const sliceBytesUsual = 16 * 1024 * 1024;

/**
 * Writes at the file's present position.
 * @returns SHA-256 of the bytes, hexadecimal
 */
export async function writeHashed(
  file: Pick<FileHandle, 'writeFile'>,
  bytes: Uint8Array,
  sliceBytes: number = sliceBytesUsual,
): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes.length; at += sliceBytes) {
    const slice = bytes.subarray(at, at + sliceBytes);
    await file.writeFile(slice);
    hash.update(slice);
  }
  return hash.digest('hex');
}

/** A file ended before as much of it was read as was asked for. */
export class EarlyEnd extends Error {
  /** That were read. */
  readonly byteCount: number;

  constructor(byteCount: number, missingCount: number) {
    super(`the file ends ${missingCount} bytes early`);
    this.byteCount = byteCount;
  }
}

const atOnce = async (work: () => void): Promise<void> => work();

/**
 * Fills an array from the file's present position on.
 * @param step hashes a slice by the work that it is given, and resolves when the next one may begin
 * @returns SHA-256 of the bytes, hexadecimal
 * @throws EarlyEnd: the file ends before the array is full
 */
export async function readHashed(
  file: Pick<FileHandle, 'read'>,
  into: Uint8Array,
  sliceBytes: number = sliceBytesUsual,
  step: (work: () => void) => Promise<void> = atOnce,
): Promise<string> {
  const hash = createHash('sha256');
  for (let at = 0; at < into.length; ) {
    const { bytesRead } = await file.read(into, at, Math.min(sliceBytes, into.length - at));
    if (bytesRead === 0) throw new EarlyEnd(at, into.length - at);
    const slice = into.subarray(at, at + bytesRead);
    await step(() => void hash.update(slice));
    at += bytesRead;
  }
  return hash.digest('hex');
}
