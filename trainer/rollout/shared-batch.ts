/**
 * The memory that the threads of a vectorised environment share. One SharedArrayBuffer, N environments, row-major:
 *
 *   control        Int32   [3]           see `controlSlot` of claims.ts
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

/** Where an array begins, and its length. */
type Place = { readonly offset: number; readonly length: number };

/**
 * Lays out the shared memory, or looks at memory that was laid out before.
 * @param memory from another thread; allocated if absent
 */
export function shareBatch(sizes: BatchSizes, memory?: SharedArrayBuffer): SharedBatch {
  const { places: at, byteCount } = layOut(sizes);
  const buffer = memory ?? new SharedArrayBuffer(byteCount);
  const bytes = ({ offset, length }: Place) => new Uint8Array(buffer, offset, length);
  const int32 = ({ offset, length }: Place) => new Int32Array(buffer, offset, length);
  const float32 = ({ offset, length }: Place) => new Float32Array(buffer, offset, length);
  const float64 = ({ offset, length }: Place) => new Float64Array(buffer, offset, length);
  return {
    sizes,
    memory: buffer,
    control: int32(at.control),
    claims: int32(at.claims),
    actions: float32(at.actions),
    nextContexts: float64(at.nextContexts),
    observations: float32(at.observations),
    finals: float32(at.finals),
    rewards: float64(at.rewards),
    contexts: float64(at.contexts),
    returns: float64(at.returns),
    lengths: int32(at.lengths),
    terminated: bytes(at.terminated),
    truncated: bytes(at.truncated),
    diverged: bytes(at.diverged),
    states: float64(at.states),
    running: {
      returns: float64(at.runningReturns),
      lengths: int32(at.runningLengths),
      episodes: int32(at.runningEpisodes),
    },
  };
}

function layOut({ environmentCount: n, observationSize, actionSize, contextSize, stateSize }: BatchSizes) {
  let byteCount = 0;
  /** Every array starts at a cache line of its own. */
  const place = (elementBytes: number, length: number): Place => {
    const offset = byteCount;
    byteCount += Math.ceil((elementBytes * length) / 64) * 64;
    return { offset, length };
  };
  const places = {
    control: place(4, controlSize),
    claims: place(4, n),
    actions: place(4, n * actionSize),
    nextContexts: place(8, n * contextSize),
    observations: place(4, n * observationSize),
    finals: place(4, n * observationSize),
    rewards: place(8, n),
    contexts: place(8, n * contextSize),
    returns: place(8, n),
    lengths: place(4, n),
    terminated: place(1, n),
    truncated: place(1, n),
    diverged: place(1, n),
    states: place(8, n * stateSize),
    runningReturns: place(8, n),
    runningLengths: place(4, n),
    runningEpisodes: place(4, n),
  };
  return { places, byteCount };
}

/** The rows of an array, as views. */
export function rowsOf<T extends Float32Array | Float64Array>(values: T, rowCount: number): T[] {
  const size = values.length / rowCount;
  return Array.from({ length: rowCount }, (_, row) => values.subarray(row * size, (row + 1) * size) as T);
}
