/** Bookkeeping of the updates of every actor-critic learner: their count, metrics and saved state. */

import type { Random } from '../../src/contract/random.ts';
import type { Trainable } from '../../src/optim/trainable.ts';
import type { Batch } from '../replay/batch.ts';
import type { LearnMetrics, OffPolicyLearner } from './learner.ts';
import { learnerState } from './learner-state.ts';

/** Updates, one by one or several in one run. */
export type Updates = {
  /**
   * Takes an update, or keeps the batch until there are enough for a run.
   * @returns the updates taken
   */
  take(batch: Batch, random: Random): number;
  dispose(): void;
};

/** Updates between two reports of metrics. */
const metricsInterval = 100;

/**
 * @param where names the learner in errors
 * @param arrays that are saved beside the networks
 * @param metrics of the newest update
 */
export function createLearning({
  where,
  trainables,
  arrays = {},
  updates,
  metrics,
}: {
  readonly where: string;
  readonly trainables: Readonly<Record<string, Trainable>>;
  readonly arrays?: Readonly<Record<string, Float32Array>>;
  readonly updates: Updates;
  readonly metrics: () => LearnMetrics;
}): Pick<OffPolicyLearner, 'learn' | 'save' | 'restore'> {
  const state = learnerState<{ updateCount: number }>(where, trainables, arrays);
  let updateCount = 0;
  return {
    learn(batch, random) {
      const reports = () => Math.floor(updateCount / metricsInterval);
      const before = reports();
      updateCount += updates.take(batch, random);
      return reports() > before ? metrics() : null;
    },
    save: () => state.save({ updateCount }),
    restore(saved) {
      ({ updateCount } = state.restore(saved));
    },
  };
}
