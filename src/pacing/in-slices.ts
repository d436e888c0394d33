/** Long work over bytes, slice by slice with turns of the event loop between: a server that loads a model goes on answering. */

import { setImmediate as nextTurn } from 'node:timers/promises';

/** A slice takes well under a millisecond to copy. */
const sliceBytes = 512 * 1024;

/** The bytes in memory that threads share. */
export async function shareInSlices(bytes: Uint8Array): Promise<SharedArrayBuffer> {
  const shared = new SharedArrayBuffer(bytes.byteLength);
  const target = new Uint8Array(shared);
  for (let from = 0; from < bytes.length; from += sliceBytes) {
    if (from > 0) await nextTurn();
    target.set(bytes.subarray(from, from + sliceBytes), from);
  }
  return shared;
}
