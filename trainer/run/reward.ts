/** Rewards that a run can learn from. */

import { invalidArgument } from '../../src/contract/errors.ts';
import type { Rollout } from '../rollout/collect.ts';

/** Most of a reward or an observation: losses are squares and optimisers square their gradients once more, all in float32, which ends near 3e38. */
export const valueMax = 1e15;

/**
 * @param place of the reward, e.g. `step 12 of an episode`
 * @throws HyperpolicyError invalid_argument: a reward that would make the losses infinite
 */
export function checkReward(environment: string, reward: number, place: () => string): void {
  if (Math.abs(reward) <= valueMax) return;
  throw invalidArgument({
    where: `${environment}, ${place()}`,
    expected: `a reward between -${valueMax} and ${valueMax}, as the loss is its square in float32`,
    actual: String(reward),
    remedy: 'Bound the rewards of the environment',
  });
}

/** @throws HyperpolicyError invalid_argument: a reward that no loss can hold; a step in which the simulator diverged has none */
export function checkRewards({ rewards, diverged, environmentCount }: Rollout, environment: string): void {
  rewards.forEach((reward, i) => {
    if (diverged[i] === 1) return;
    checkReward(environment, reward, () => rolloutPlace(i, environmentCount));
  });
}

/** @param i of a transition in a rollout */
export const rolloutPlace = (i: number, environmentCount: number): string =>
  `step ${Math.floor(i / environmentCount) + 1}, row ${i % environmentCount}`;
