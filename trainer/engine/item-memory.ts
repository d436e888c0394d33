/**
 * The memory that the threads of item computations share. One SharedArrayBuffer:
 *
 *   control   Int32                see `controlSlot` of claims.ts
 *   job       Int32                see `jobSlot`
 *   claims    Int32   [items]      number of the last order that a thread took the item for
 *   arrays    Float32 [rows, ...]  each of them
 */

import { mapValues } from '../../src/contract/records.ts';
import { type Claims, controlSize } from '../machine/claims.ts';
import { shareArrays } from '../machine/shared-arrays.ts';
import { type ItemsPlan, lengthOf } from './items.ts';

export type ItemMemory = Claims & {
  readonly memory: SharedArrayBuffer;
  readonly job: Int32Array;
  readonly arrays: Readonly<Record<string, Float32Array>>;
};

/** Places in `job`: those that the caller writes, and a cache line apart those that workers write. */
export const jobSlot = {
  /** Place of the order's function in the plan, or `lastJob`. */
  name: 0,
  /** Which set of its steady inputs the arrays hold. */
  place: 1,
  /** Number of the last `renew`. */
  epoch: 2,
  /** Workers that have ended. */
  ended: 16,
} as const;

const jobSize = 32;

/** The order to end. */
export const lastJob = -1;

/** Lays out the memory, or looks at memory that was laid out before. @param memory from another thread; allocated if absent */
export const shareItems = ({ itemCount, arrays }: ItemsPlan, memory?: SharedArrayBuffer): ItemMemory =>
  shareArrays(
    (take) => ({
      control: take(Int32Array, controlSize),
      job: take(Int32Array, jobSize),
      claims: take(Int32Array, itemCount),
      arrays: mapValues(arrays, (array) => take(Float32Array, lengthOf(array))),
    }),
    memory,
  );
