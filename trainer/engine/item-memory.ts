/**
 * The memory that the threads of item computations share. One SharedArrayBuffer:
 *
 *   control   Int32   [3]          see `controlSlot` of claims.ts
 *   job       Int32   [2]          see `jobSlot`
 *   claims    Int32   [items]      number of the last order that a thread took the item for
 *   arrays    Float32 [rows, ...]  each of them
 */

import { type Claims, controlSize } from '../machine/claims.ts';
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

/** The order to end. */
export const lastJob = -1;

/** Lays out the memory, or looks at memory that was laid out before. @param memory from another thread; allocated if absent */
export function shareItems({ itemCount, arrays }: ItemsPlan, memory?: SharedArrayBuffer): ItemMemory {
  let byteCount = 0;
  /** Every array starts at a cache line of its own. */
  const place = (length: number) => {
    const offset = byteCount;
    byteCount += Math.ceil((4 * length) / 64) * 64;
    return { offset, length };
  };
  const places = {
    control: place(controlSize),
    job: place(32),
    claims: place(itemCount),
    arrays: Object.entries(arrays).map(([name, array]) => [name, place(lengthOf(array))] as const),
  };
  const buffer = memory ?? new SharedArrayBuffer(byteCount);
  const int32 = ({ offset, length }: ReturnType<typeof place>) => new Int32Array(buffer, offset, length);
  return {
    memory: buffer,
    control: int32(places.control),
    job: int32(places.job),
    claims: int32(places.claims),
    arrays: Object.fromEntries(
      places.arrays.map(([name, { offset, length }]) => [name, new Float32Array(buffer, offset, length)]),
    ),
  };
}
