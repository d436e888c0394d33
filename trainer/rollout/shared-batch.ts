/**
 * The memory that the threads of a vectorised environment share. One SharedArrayBuffer, N environments, row-major:
 *
 *   control        Int32   [2 + 2 * T]   see `controlSlot`
 *   actions        Float32 [N, A]        written by the caller
 *   nextContexts   Float64 [N, C]        written by the caller: the task of the next episode
 *   observations   Float32 [N, O]        after the step; of the new episode where one ended
 *   finals         Float32 [N, O]        last observation of the episode that the step ended
 *   rewards        Float64 [N]
 *   contexts       Float64 [N, C]        the task in progress
 *   returns        Float64 [N]           of the episode that the step ended
 *   lengths        Int32   [N]           of the episode that the step ended
 *   terminated, truncated, diverged      Uint8 [N]
 *
 * Observations are float32 because their readers are networks and replay buffers.
 */

import { type PolicySpecs, specSize } from '../../src/spec/tensor-spec.ts';

export type BatchSizes = {
  readonly environmentCount: number;
  readonly threadCount: number;
  readonly observationSize: number;
  readonly actionSize: number;
  readonly contextSize: number;
};

export type SharedBatch = {
  readonly sizes: BatchSizes;
  readonly memory: SharedArrayBuffer;
  readonly control: Int32Array;
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
};

/** Places in `control`. Each order has a number; a thread answers by writing the number to its place. */
export const controlSlot = {
  /** Number of the current order; threads sleep on it. */
  order: 0,
  /** What the order asks, one of `orders`. */
  kind: 1,
  /** Number of the last order that worker w has done. */
  done: (worker: number): number => 2 + 2 * worker,
  /** 1 where worker w failed and has sent a message that says how. */
  failed: (worker: number): number => 3 + 2 * worker,
} as const;

export const orders = { step: 1, reset: 2, save: 3, restore: 4 } as const;

export type Order = (typeof orders)[keyof typeof orders];

export const batchSizes = (
  specs: PolicySpecs,
  counts: Pick<BatchSizes, 'environmentCount' | 'threadCount'>,
): BatchSizes => ({
  ...counts,
  observationSize: specSize(specs.observation),
  actionSize: specSize(specs.action),
  contextSize: specs.context === null ? 0 : specSize(specs.context),
});

/**
 * Lays out the shared memory, or looks at memory that was laid out before.
 * @param memory from another thread; allocated where absent
 */
export function shareBatch(sizes: BatchSizes, memory?: SharedArrayBuffer): SharedBatch {
  const { environmentCount: n, threadCount, observationSize, actionSize, contextSize } = sizes;
  let size = 0;
  /** Every array starts at a cache line of its own. */
  const place = (bytes: number): number => {
    const offset = size;
    size += Math.ceil(bytes / 64) * 64;
    return offset;
  };
  const at = {
    control: place(4 * (2 + 2 * threadCount)),
    actions: place(4 * n * actionSize),
    nextContexts: place(8 * n * contextSize),
    observations: place(4 * n * observationSize),
    finals: place(4 * n * observationSize),
    rewards: place(8 * n),
    contexts: place(8 * n * contextSize),
    returns: place(8 * n),
    lengths: place(4 * n),
    terminated: place(n),
    truncated: place(n),
    diverged: place(n),
  };
  const buffer = memory ?? new SharedArrayBuffer(size);
  return {
    sizes,
    memory: buffer,
    control: new Int32Array(buffer, at.control, 2 + 2 * threadCount),
    actions: new Float32Array(buffer, at.actions, n * actionSize),
    nextContexts: new Float64Array(buffer, at.nextContexts, n * contextSize),
    observations: new Float32Array(buffer, at.observations, n * observationSize),
    finals: new Float32Array(buffer, at.finals, n * observationSize),
    rewards: new Float64Array(buffer, at.rewards, n),
    contexts: new Float64Array(buffer, at.contexts, n * contextSize),
    returns: new Float64Array(buffer, at.returns, n),
    lengths: new Int32Array(buffer, at.lengths, n),
    terminated: new Uint8Array(buffer, at.terminated, n),
    truncated: new Uint8Array(buffer, at.truncated, n),
    diverged: new Uint8Array(buffer, at.diverged, n),
  };
}
