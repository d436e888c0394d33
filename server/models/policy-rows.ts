/** What a run of a policy takes and gives. */

import type { WeightBatch } from '../weights/generated-weights.ts';

export type PolicyInputs = {
  readonly rowCount: number;
  readonly observation: Float32Array; // [B, O]
  /** Plain policies with a context. */
  readonly context?: Float32Array | undefined; // [B, C]
  /** Standard normal; absent is the deterministic action. */
  readonly noise?: Float32Array | undefined; // [B, A]
  /** Hyper policies: weights of K contexts, and row -> context (undefined: all rows have the first). */
  readonly weights?: WeightBatch | undefined;
  readonly index?: Int32Array | undefined; // [B]
  /** On the clock of `Date.now()`; work that waits for a thread is dropped when it is late. Infinity unless given. */
  readonly deadlineMs?: number | undefined;
};

export type PolicyOutputs = {
  /** As the graph gives it: not yet clipped, not yet checked. */
  readonly action: Float32Array; // [B, A]
  readonly logProb: Float32Array | undefined; // [B]
};
