/** Evaluates a policy: whole episodes with deterministic actions, on an environment of their own. */

import { setImmediate as turn } from 'node:timers/promises';
import { requireCount } from '../../src/contract/counts.ts';
import { createRandom } from '../../src/contract/random.ts';
import { specSize } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import { checkReward } from './reward.ts';

/** Stream of the start seeds, apart from training's. */
const startStream = 6;

export type EvaluationOptions = {
  /** It is reset, so its episode in progress is lost. */
  readonly env: Env;
  /**
   * Observation [O] and, if the environment has a context, the episode's task [C] to action [A], written to `out`;
   * environment units.
   */
  readonly act: (observation: Float64Array, out: Float32Array, context: Float64Array | null) => void;
  readonly episodeCount: number;
  /** The task of each episode; if absent, the environment draws tasks from its training range. */
  readonly contexts?: readonly ArrayLike<number>[] | undefined;
  /** The same seed gives the same start states. */
  readonly seed: number;
  /** Stops between two steps. */
  readonly signal?: Pick<AbortSignal, 'throwIfAborted'> | undefined;
};

export type EvaluationResult = {
  /** Mean of the undiscounted returns, environment reward. */
  readonly meanReturn: number;
  /** Standard deviation of the returns: sqrt(mean (r - mean)^2). */
  readonly standardDeviation: number;
  readonly returns: readonly number[];
  /** Steps of each episode. */
  readonly lengths: readonly number[];
  /** Where the returns are means of several episodes each: how many there were in all. */
  readonly episodeCount?: number;
};

const turnIntervalMs = 50;

/**
 * Runs the episodes one after the other; the event loop gets a turn every 50 ms, as an episode may never end.
 * @throws HyperpolicyError invalid_argument: an episode count that is not a positive integer, an action that is not finite, a reward that no
 *   loss can hold
 * @throws the signal's reason if it is aborted
 */
export async function evaluate(options: EvaluationOptions): Promise<EvaluationResult> {
  const { env, episodeCount, contexts, seed } = options;
  requireCount('evaluate: episodeCount', episodeCount);
  const random = createRandom(seed, startStream);
  const action = new Float32Array(specSize(env.specs.action));
  const returns: number[] = [];
  const lengths: number[] = [];
  for (let episode = 0; episode < episodeCount; episode++) {
    const start = { seed: random.integer(2 ** 32), context: contexts?.[episode] };
    const { sum, length } = await runEpisode(options, start, action);
    returns.push(sum);
    lengths.push(length);
  }
  return { ...moments(returns), returns, lengths };
}

type Start = { readonly seed: number; readonly context: ArrayLike<number> | undefined };

async function runEpisode({ env, act, signal }: EvaluationOptions, { seed, context }: Start, action: Float32Array) {
  let { observation } = env.reset(seed, context === undefined ? {} : { context });
  let sum = 0;
  let turnAt = 0;
  for (let length = 1; ; length++) {
    if (performance.now() >= turnAt) {
      await turn();
      signal?.throwIfAborted();
      turnAt = performance.now() + turnIntervalMs;
    }
    act(observation, action, env.context);
    const result = env.step(action);
    checkReward(env.name, result.reward, () => `step ${length} of an evaluation episode`);
    sum += result.reward;
    observation = result.observation;
    if (result.terminated || result.truncated) return { sum, length };
  }
}

/** Mean, and sqrt(mean (r - mean)^2), of returns. */
export function moments(values: readonly number[]): { meanReturn: number; standardDeviation: number } {
  const meanReturn = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - meanReturn) ** 2, 0) / values.length;
  return { meanReturn, standardDeviation: Math.sqrt(variance) };
}
