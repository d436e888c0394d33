/**
 * The memory that the threads of a vectorised environment share. One SharedArrayBuffer, N environments, row-major:
 *
 *   control        Int32   [3]           see `controlSlot`
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

import { type PolicySpecs, specSize } from '../../src/contract/tensor-spec.ts';

export type BatchSizes = {
  readonly environmentCount: number;
  readonly observationSize: number;
  readonly actionSize: number;
  readonly contextSize: number;
  readonly stateSize: number;
};

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

/** Places in `control`, a cache line apart, as one thread writes while others read. */
export const controlSlot = {
  /** Number of the current step; threads sleep on it. */
  order: 0,
  /** Rows that are done with the current step; the caller sleeps on it. */
  done: 16,
  /** Workers that failed and have sent their failure as a message. */
  failed: 32,
} as const;

const controlSize = 48;

export const batchSizes = (
  specs: PolicySpecs,
  counts: Pick<BatchSizes, 'environmentCount' | 'stateSize'>,
): BatchSizes => ({
  ...counts,
  observationSize: specSize(specs.observation),
  actionSize: specSize(specs.action),
  contextSize: specs.context === null ? 0 : specSize(specs.context),
});

/**
 * Lays out the shared memory, or looks at memory that was laid out before.
 * @param memory from another thread; allocated if absent
 */
export function shareBatch(sizes: BatchSizes, memory?: SharedArrayBuffer): SharedBatch {
  const { environmentCount: n, observationSize, actionSize, contextSize, stateSize } = sizes;
  let size = 0;
  /** Every array starts at a cache line of its own. */
  const place = (bytes: number): number => {
    const offset = size;
    size += Math.ceil(bytes / 64) * 64;
    return offset;
  };
  const at = {
    control: place(4 * controlSize),
    claims: place(4 * n),
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
    states: place(8 * n * stateSize),
    runningReturns: place(8 * n),
    runningLengths: place(4 * n),
    runningEpisodes: place(4 * n),
  };
  const buffer = memory ?? new SharedArrayBuffer(size);
  return {
    sizes,
    memory: buffer,
    control: new Int32Array(buffer, at.control, controlSize),
    claims: new Int32Array(buffer, at.claims, n),
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
    states: new Float64Array(buffer, at.states, n * stateSize),
    running: {
      returns: new Float64Array(buffer, at.runningReturns, n),
      lengths: new Int32Array(buffer, at.runningLengths, n),
      episodes: new Int32Array(buffer, at.runningEpisodes, n),
    },
  };
}
