/** Long work over bytes, slice by slice with turns of the event loop between: a server that loads a model goes on answering. */

import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** A slice takes well under a millisecond to hash or to copy. */
const sliceBytes = 512 * 1024;

async function inSlices(bytes: Uint8Array, work: (slice: Uint8Array, from: number) => void): Promise<void> {
  for (let from = 0; from < bytes.length; from += sliceBytes) {
    if (from > 0) await nextTurn();
    work(bytes.subarray(from, from + sliceBytes), from);
  }
}

/** SHA-256, hexadecimal. The bytes must not change meanwhile. */
export async function sha256InSlices(bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256');
  await inSlices(bytes, (slice) => hash.update(slice));
  return hash.digest('hex');
}

/** The bytes in memory that threads share. */
export async function shareInSlices(bytes: Uint8Array): Promise<SharedArrayBuffer> {
  const shared = new SharedArrayBuffer(bytes.byteLength);
  const target = new Uint8Array(shared);
  await inSlices(bytes, (slice, from) => target.set(slice, from));
  return shared;
}
