/**
 * The memory that the threads of a vectorised environment share. One SharedArrayBuffer, N environments, row-major:
 *
 *   control        Int32                 see `controlSlot` of claims.ts
 *   claims         Int32   [N]           number of the last order that a thread took the row for
 *   actions        Float32 [N, A]        written by the caller
 *   nextContexts   Float64 [N, C]        written by the caller: the task of the next episode
 *   observations   Float32 [N, O]        after the step; of the new episode where one ended
 *   finals         Float32 [N, O]        last observation of the episode that the step ended
 *   rewards        Float64 [N]
 *   contexts       Float64 [N, C]        the task in progress
 *   returns        Float64 [N]           of the episode that the step ended
 *   lengths        Int32   [N]           of the episode that the step ended
 *   terminated, truncated, diverged      Uint8 [N]
 *   states         Float64 [N, S]        state of each environment, see `StateRow`; empty if one row never leaves its environment
 *   running        of the episode in progress: returns Float64 [N], lengths Int32 [N], and episodes Int32 [N], those begun
 *
 * Observations are float32 because their readers are networks and replay buffers.
 */

import type { SpecSizes } from '../../src/contract/tensor-spec.ts';
import { controlSize } from '../machine/claims.ts';
import { shareArrays } from '../machine/shared-arrays.ts';

export type BatchSizes = SpecSizes & { readonly environmentCount: number; readonly stateSize: number };

export type SharedBatch = {
  readonly sizes: BatchSizes;
  readonly memory: SharedArrayBuffer;
  readonly control: Int32Array;
  readonly claims: Int32Array;
  readonly actions: Float32Array;
  readonly nextContexts: Float64Array;
  readonly observations: Float32Array;
  readonly finals: Float32Array;
  readonly rewards: Float64Array;
  readonly contexts: Float64Array;
  readonly returns: Float64Array;
  readonly lengths: Int32Array;
  readonly terminated: Uint8Array;
  readonly truncated: Uint8Array;
  readonly diverged: Uint8Array;
  readonly states: Float64Array;
  readonly running: { readonly returns: Float64Array; readonly lengths: Int32Array; readonly episodes: Int32Array };
};

/**
 * Lays out the shared memory, or looks at memory that was laid out before.
 * @param memory from another thread; allocated if absent
 */
export function shareBatch(sizes: BatchSizes, memory?: SharedArrayBuffer): SharedBatch {
  const { environmentCount: n, observationSize, actionSize, contextSize, stateSize } = sizes;
  const arrays = shareArrays(
    (take) => ({
      control: take(Int32Array, controlSize),
      claims: take(Int32Array, n),
      actions: take(Float32Array, n * actionSize),
      nextContexts: take(Float64Array, n * contextSize),
      observations: take(Float32Array, n * observationSize),
      finals: take(Float32Array, n * observationSize),
      rewards: take(Float64Array, n),
      contexts: take(Float64Array, n * contextSize),
      returns: take(Float64Array, n),
      lengths: take(Int32Array, n),
      terminated: take(Uint8Array, n),
      truncated: take(Uint8Array, n),
      diverged: take(Uint8Array, n),
      states: take(Float64Array, n * stateSize),
      running: {
        returns: take(Float64Array, n),
        lengths: take(Int32Array, n),
        episodes: take(Int32Array, n),
      },
    }),
    memory,
  );
  return { sizes, ...arrays };
}

/** The rows of an array, as views. */
export function rowsOf<T extends Float32Array | Float64Array>(values: T, rowCount: number): T[] {
  const size = values.length / rowCount;
  return Array.from({ length: rowCount }, (_, row) => values.subarray(row * size, (row + 1) * size) as T);
}
