/** The `index` input of dynamic networks: which context each row of a batch uses. */

import { Tensor } from './session.ts';

/** Zeros for batches whose rows share one context; grows to the largest batch seen, which the row limit bounds. */
let zeros = new BigInt64Array(256);

/** @param index row -> context, [B]; undefined: every row uses context 0 */
export function rowIndexTensor(index: Int32Array | undefined, rowCount: number): Tensor {
  if (index === undefined) {
    if (rowCount > zeros.length) zeros = new BigInt64Array(rowCount);
    return new Tensor('int64', zeros.subarray(0, rowCount), [rowCount]);
  }
  const wide = new BigInt64Array(rowCount);
  // Little-endian halves: cheaper than a BigInt per row. Indices are not negative, so the high half stays 0.
  const halves = new Int32Array(wide.buffer);
  for (let row = 0; row < rowCount; row++) halves[2 * row] = index[row]!;
  return new Tensor('int64', wide, [rowCount]);
}
