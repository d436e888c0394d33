/** What the off-policy loop needs of an algorithm. The loop knows no networks and no losses; the learner no files and no clock. */

import type { Random } from '../../src/contract/random.ts';
import type { Batch } from '../replay/batch.ts';

/** Metrics by name, e.g. `criticLoss`; run/README.md has the glossary. */
export type LearnMetrics = Readonly<Record<string, number>>;

/** A value that JSON holds exactly. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

export type StateArray = Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array;

/** Everything that must survive for training to go on bit-equally. Arrays may be views, valid until the owner's next change. */
export type SavedState = {
  readonly arrays: Readonly<Record<string, StateArray>>;
  readonly state: JsonValue;
};

/** Parameters, optimiser moments and counters of a learner. */
export type LearnerState = SavedState;

export type OffPolicyLearner = {
  /** Deterministic action for one observation, in environment units, into `out` [A]. */
  act(observation: Float64Array | Float32Array, out: Float32Array): void;
  /** Action with exploration noise, clipped to the bounds, into `out` [A]. */
  explore(observation: Float64Array | Float32Array, random: Random, out: Float32Array): void;
  /**
   * One update, synchronous.
   * @param random target noise and the like
   * @returns metrics from time to time, else null: computing them may cost
   */
  learn(batch: Batch, random: Random): LearnMetrics | null;
  save(): LearnerState;
  restore(saved: LearnerState): void;
  /** Frees native memory; the learner must not be used after. */
  dispose(): void;
};
