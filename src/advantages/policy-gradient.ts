/**
 * The coefficients of a policy gradient over episodes of one task: advantages by a linear baseline and generalised advantage
 * estimation. Trainer and server use the same, so that an inner step is the same in both.
 *
 * Source: Duan et al. 2016 (the baseline), Schulman et al. 2016 (the advantages), as in pytorch-maml-rl.
 */

import type { Sliced } from '../contract/sliced.ts';
import { baselineValues, type ObservedEpisodes } from './linear-baseline.ts';

export type Episodes = ObservedEpisodes & { readonly reward: Float32Array }; // [N]

export type AdvantageConfig = {
  /** Of rewards, in [0, 1]. */
  readonly discount: number;
  /** In [0, 1]. */
  readonly lambda: number;
  /** Whether every step or every episode has the same weight; `episodes` unless given. */
  readonly weighting?: 'steps' | 'episodes' | undefined;
};

/**
 * The coefficient of each step's grad log pi, [N]: its advantage times its weight. That is 1 / N, or 1 / (count of episodes x steps of
 * its own) where every episode counts the same. With those weights the advantages have mean 0 and standard deviation 1.
 *
 * After an episode's last step the value is 0, however it ended. Reference: pytorch-maml-rl, episode.py.
 * @throws HyperpolicyError invalid_argument if no baseline can be fitted: values too large for it
 */
export function* policyGradientCoefficients(episodes: Episodes, config: AdvantageConfig): Sliced<Float32Array> {
  const { reward, lengths } = episodes;
  const values = yield* baselineValues(episodes, discountedReturns(reward, lengths, config.discount));
  const advantages = generalisedAdvantages({ reward, values, lengths }, config);
  const weightIn = (length: number) =>
    config.weighting === 'steps' ? 1 / reward.length : 1 / (lengths.length * length);
  const weights = new Float64Array(reward.length);
  let begin = 0;
  for (const length of lengths) {
    weights.fill(weightIn(length), begin, begin + length);
    begin += length;
  }
  const mean = advantages.reduce((sum, advantage, n) => sum + advantage * weights[n]!, 0);
  const variance = advantages.reduce((sum, advantage, n) => sum + (advantage - mean) ** 2 * weights[n]!, 0);
  const scale = Math.sqrt(variance) + 1e-8;
  return Float32Array.from(advantages, (advantage, n) => ((advantage - mean) / scale) * weights[n]!);
}

/** Sum of discounted rewards from each step to the end of its episode, [N]. */
export function discountedReturns(reward: Float32Array, lengths: readonly number[], discount: number): Float64Array {
  return backwards(lengths, reward.length, (n, after) => reward[n]! + discount * after);
}

/** A_t = delta_t + discount lambda A_(t+1) with delta_t = r_t + discount V_(t+1) - V_t, [N]. */
export function generalisedAdvantages(
  {
    reward,
    values,
    lengths,
  }: { readonly reward: Float32Array; readonly values: Float64Array; readonly lengths: readonly number[] },
  { discount, lambda }: AdvantageConfig,
): Float64Array {
  return backwards(lengths, reward.length, (n, after, isLast) => {
    const next = isLast ? 0 : values[n + 1]!;
    return reward[n]! + discount * next - values[n]! + discount * lambda * after;
  });
}

/** Fills each episode from its end; `after` is the step after, 0 at the last. */
function backwards(
  lengths: readonly number[],
  size: number,
  step: (n: number, after: number, isLast: boolean) => number,
): Float64Array {
  const result = new Float64Array(size);
  let end = 0;
  for (const length of lengths) {
    end += length;
    let after = 0;
    for (let n = end - 1; n >= end - length; n--) {
      after = step(n, after, n === end - 1);
      result[n] = after;
    }
  }
  return result;
}
