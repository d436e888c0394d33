/** A learner's state as one saved state: networks with their optimisers, other arrays, and counters. */

import { prefixed } from '../../src/nn/parameters.ts';
import type { Trainable } from '../../src/optim/trainable.ts';
import { type JsonValue, restoreArrays, type SavedState } from '../run/saved-state.ts';

export type LearnerState<Counters extends Readonly<Record<string, JsonValue>>> = {
  save(counters: Counters): SavedState;
  /**
   * @returns the counters that were saved
   * @throws HyperpolicyError invalid_argument: arrays of other networks; nothing is changed then
   */
  restore(saved: SavedState): Counters;
};

/**
 * @param where names the learner in errors
 * @param trainables by name: the arrays are saved as `name.parameters` and so on, the optimiser's steps as `nameSteps`
 * @param others arrays that are saved as they are
 */
export function learnerState<Counters extends Readonly<Record<string, JsonValue>>>(
  where: string,
  trainables: Readonly<Record<string, Trainable>>,
  others: Readonly<Record<string, Float32Array>> = {},
): LearnerState<Counters> {
  const arrays = {
    ...Object.assign({}, ...Object.entries(trainables).map(([name, trainable]) => prefixed(name, trainable.arrays()))),
    ...others,
  };
  return {
    save(counters) {
      const steps = Object.entries(trainables).map(([name, { adam }]) => [`${name}Steps`, adam.stepCount]);
      return { arrays, state: { ...counters, ...Object.fromEntries(steps) } };
    },
    restore(saved) {
      restoreArrays(where, arrays, saved.arrays);
      const state = saved.state as Counters & Readonly<Record<string, number>>;
      for (const [name, { adam }] of Object.entries(trainables)) adam.stepCount = state[`${name}Steps`]!;
      return state;
    },
  };
}
