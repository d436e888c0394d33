/** From a rollout of all tasks to each task's steps with their advantages. */

import { type AdvantageConfig, policyGradientCoefficients } from '../../../src/advantages/policy-gradient.ts';
import { failedPrecondition } from '../../../src/contract/errors.ts';
import { runToEnd } from '../../../src/contract/sliced.ts';
import { episodesOf, type Rollout } from '../../rollout/collect.ts';
import type { StepArrays } from './steps.ts';

export type TaskReturns = {
  /** Mean undiscounted return of each task's episodes. */
  readonly returns: readonly number[];
  /** Mean steps of each task's episodes. */
  readonly lengths: readonly number[];
  /** Valid steps of all tasks. */
  readonly stepCount: number;
  /** Episodes that the simulator cut, as it became unstable. */
  readonly divergedCount: number;
};

/**
 * Fills each task's arrays with the first episode of each of its rows, one after the other, and the rest with absent steps. A step in
 * which the simulator diverged is left out.
 * @param rollout of T tasks with E rows each, in order, as many steps as an episode can have
 * @param to of T tasks, E x steps each
 * @throws HyperpolicyError invalid_argument if a task's values are too large for a baseline; failed_precondition if there is no valid step
 */
export function fillSteps(rollout: Rollout, to: readonly StepArrays[], config: AdvantageConfig): TaskReturns {
  const episodeCount = rollout.environmentCount / to.length;
  // Of each row.
  const firsts = episodesOf(rollout).map(([first]) => first!);
  const ends = firsts.map(({ end }) => end);
  const lengths: number[] = [];
  let stepCount = 0;
  const returns = to.map((arrays, task) => {
    const rows = Array.from({ length: episodeCount }, (_, episode) => task * episodeCount + episode);
    const reward = copyRows(rollout, rows, ends, arrays);
    const ofEpisodes = rows.map((row) => ends[row]!).filter((length) => length > 0);
    const coefficient = runToEnd(
      policyGradientCoefficients(
        {
          observation: arrays.observation.subarray(0, reward.length * observationSizeOf(rollout)),
          reward,
          lengths: ofEpisodes,
        },
        config,
      ),
    );
    arrays.coefficient.fill(0);
    arrays.coefficient.set(coefficient);
    arrays.weight.fill(0);
    arrays.weight.fill(1 / reward.length, 0, reward.length);
    stepCount += reward.length;
    lengths.push(reward.length / episodeCount);
    return reward.reduce((sum, value) => sum + value, 0) / episodeCount;
  });
  const divergedCount = firsts.filter(({ diverged }) => diverged).length;
  if (stepCount === 0) {
    throw failedPrecondition({
      where: 'train maml: episodes',
      expected: 'steps to learn from',
      actual: `${divergedCount} episodes in each of which the simulator became unstable at the first step`,
      remedy: 'Look at the environment and the bounds of its actions',
    });
  }
  return { returns, lengths, stepCount, divergedCount };
}

const observationSizeOf = ({ observations, stepCount, environmentCount }: Rollout): number =>
  observations.length / (stepCount * environmentCount);

/** Copies the valid steps of rows below each other, zeros after them. @returns their rewards */
function copyRows(
  { observations, actions, rewards, environmentCount, stepCount }: Rollout,
  rows: readonly number[],
  ends: readonly number[],
  to: StepArrays,
): Float32Array {
  const observationSize = observations.length / (stepCount * environmentCount);
  const actionSize = actions.length / (stepCount * environmentCount);
  const reward = new Float32Array(rows.reduce((sum, row) => sum + ends[row]!, 0));
  let n = 0;
  for (const row of rows) {
    for (let step = 0; step < ends[row]!; step++, n++) {
      const at = step * environmentCount + row;
      for (let i = 0; i < observationSize; i++) {
        to.observation[n * observationSize + i] = observations[at * observationSize + i]!;
      }
      for (let i = 0; i < actionSize; i++) to.action[n * actionSize + i] = actions[at * actionSize + i]!;
      reward[n] = rewards[at]!;
    }
  }
  to.observation.fill(0, n * observationSize);
  to.action.fill(0, n * actionSize);
  return reward;
}
