/** The learner of the off-policy loop. The loop knows no networks and no losses; the learner knows no files and no clock. */

import type { Random } from '../../src/contract/random.ts';
import type { PolicySpecs } from '../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../src/envs/task-distribution.ts';
import type { Engine } from '../engine/engine.ts';
import type { Batch } from '../replay/batch.ts';
import type { SavedState } from '../run/saved-state.ts';

/** Metrics by name, e.g. `criticLoss`; run/README.md has the glossary. */
export type LearnMetrics = Readonly<Record<string, number>>;

/** Values of one observation, environment units. */
export type ObservationValues = Float64Array | Float32Array;

/** Values of the task in progress, environment units; absent or null if the environment has no context. */
export type ContextValues = Float64Array | Float32Array | null | undefined;

export type OffPolicyLearner = {
  /**
   * Deterministic action for one observation, in environment units.
   * @param observation [O]
   * @param out [A], written
   * @param context [C]; a learner whose networks do not read it ignores it
   */
  act(observation: ObservationValues, out: Float32Array, context?: ContextValues): void;
  /**
   * Action with exploration noise, clipped to the bounds, in environment units.
   * @param random draws the noise
   */
  explore(observation: ObservationValues, random: Random, out: Float32Array, context?: ContextValues): void;
  /**
   * One update, synchronous. A learner that takes several in one run keeps the batch until there are enough for it.
   * @param random target noise and the like
   * @returns metrics at intervals of many updates, else null: reading them may cost time
   * @throws RefusedUpdate: a loss that is not finite; that update is not taken. PartialUpdate: one that is not finite after a part of the
   *   update or as one of several, or a gradient that the optimiser cannot take; what the learner has is lost
   */
  learn(batch: Batch, random: Random): LearnMetrics | null;
  /**
   * The largest |value| that steps of such rewards can have, in the unit of the metric `targetMean`. Critics do not learn values beyond
   * it unless they diverge.
   * @param reward largest |reward| of a step
   */
  largestValue(reward: number): number;
  /** Parameters, optimiser moments and counters. Not while batches wait. */
  save(): SavedState;
  /** @throws HyperpolicyError invalid_argument: a state of other networks; nothing is changed then */
  restore(saved: SavedState): void;
  /** Frees native memory; the learner must not be used after. */
  dispose(): void;
};

/** What a learner is created from; its parameters are drawn afresh. */
export type LearnerOptions<Config> = {
  readonly config: Config;
  readonly specs: PolicySpecs;
  /** Tasks of the environment, if it poses several; contexts are normalised by them. */
  readonly tasks?: Pick<TaskDistribution, 'ranges'> | null | undefined;
  readonly engine: Engine;
  /** Of the parameters' first values. */
  readonly seed: number;
  /** Updates that wait for each other and are taken in one run; 1 unless given. */
  readonly updatesPerRun?: number | undefined;
};
