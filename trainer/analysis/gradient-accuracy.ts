/**
 * How well a critic knows where better actions are: its action-gradient beside one that is estimated from returns, at states that the
 * policy reaches. For one version; gradient-study.ts goes along many.
 *
 * Source: Sarafian et al. 2021, 3.2 and appendix B.
 */

import { clipToBounds, float32Bounds } from '../../src/contract/bounds.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import { specSize, type TensorSpec } from '../../src/contract/tensor-spec.ts';
import type { ReductionName } from '../../src/contract/words.ts';
import type { Env } from '../../src/envs/env.ts';
import type { BatchPolicy } from '../rollout/policy.ts';
import { episodeSeed } from '../rollout/rows.ts';
import { cosineSimilarity, fitGradient } from './action-gradient.ts';
import {
  actionsAt,
  contextsOf,
  copyOf,
  type LockstepEnd,
  observationsOf,
  type Place,
  placeOf,
  runInLockstep,
} from './lockstep.ts';
import type { BatchCritic } from './package-critic.ts';

export type ReturnSettings = {
  /** Of rewards, in [0, 1]. */
  readonly discount: number;
  /** Steps for which the first action is held. */
  readonly holdStepCount: number;
  /** Steps of a return; the episode's end, or until rewards no longer count, unless given. */
  readonly horizon?: number | undefined;
  /** Adds the discounted value of the state where a return is cut, by the horizon or the time limit. */
  readonly bootstraps: boolean;
};

export type AccuracySettings = ReturnSettings & {
  readonly stateCount: number;
  /** Actions that are tried at each state. */
  readonly actionCount: number;
  /** Standard deviation of their noise, in halves of the range between an action's bounds: as it is where they are -1 and 1. */
  readonly noise: number;
  /** Which of twin critics' gradients. */
  readonly reduction: ReductionName;
  /** Decides the episodes, which of their states, and the actions. */
  readonly seed: number;
};

export type Studied = {
  readonly env: Env;
  readonly policy: BatchPolicy;
  readonly critic: BatchCritic;
  /** Told when one of the returns is known. */
  readonly onReturn?: () => void;
};

/** By state: between the critic's gradient and the estimate; null where one of them is zero or not finite, or the actions do not determine it. */
export type Accuracy = {
  readonly cosines: readonly (number | null)[];
  /** Steps of the environment that this took. */
  readonly stepCount: number;
};

/** Rewards that weigh less than this beside the first are left out: at a discount of 0.99 those after 917 steps. */
const negligibleWeight = 1e-4;

/** Returns of one version: their episodes are in memory side by side, with the weights that a primary generates for their ends. */
const returnCountMax = 20_000;

/** Streams of the seed; those of states are one each. */
const actionStream = 0x61637473;
const firstStateStream = 0x73740000;

/**
 * Actions count in halves of their range, as the networks see them, so that each counts the same whatever its unit.
 * @throws HyperpolicyError invalid_argument: too few actions for a gradient, or too many returns for memory
 */
export function gradientAccuracy(studied: Studied, settings: AccuracySettings): Accuracy {
  const { env, policy, critic, onReturn } = studied;
  const { stateCount, actionCount, reduction } = settings;
  const size = specSize(env.specs.action);
  if (actionCount <= size) {
    throw invalidArgument({
      where: 'actions at each state',
      expected: `at least ${size + 1}, one more than an action of ${env.name} has values`,
      actual: `${actionCount}`,
    });
  }
  if (stateCount * actionCount > returnCountMax) {
    throw invalidArgument({
      where: 'returns of a version',
      expected: `at most ${returnCountMax}`,
      actual: `${stateCount} states x ${actionCount} actions`,
      remedy: 'Choose fewer of one, and for more states analyse several times with seeds of their own',
    });
  }
  const states = reachedStates(studied, settings);
  const chosen = actionsAt(policy, states.places, size); // a_mu [S, A]
  const tried = triedActions(chosen, env.specs.action, settings); // [S, N, A]
  const starts = states.places.flatMap((place) => Array.from({ length: actionCount }, () => place));
  const { returns, stepCount } = returnsAfter({ env, policy, critic, onReturn, starts, actions: tried }, settings);
  const inputs = { observations: observationsOf(states.places), actions: chosen, contexts: contextsOf(states.places) };
  const { dqDa } = critic.evaluate(inputs, reduction);
  const halves = halfRanges(env.specs.action);
  const scaled = Float64Array.from(tried, (value, i) => value / halves[i % size]!);
  const cosines = Array.from({ length: stateCount }, (_, state) => {
    const rows = [state * actionCount, (state + 1) * actionCount] as const;
    const estimate = fitGradient(scaled.subarray(rows[0] * size, rows[1] * size), returns.subarray(...rows));
    const own = halves.map((half, i) => half * dqDa[state * size + i]!);
    return (estimate && cosineSimilarity(estimate, own)) ?? null;
  });
  return { cosines, stepCount: states.stepCount + stepCount };
}

/**
 * States that the policy reaches, each of an episode of its own: which of the episode's states is uniform.
 * @returns also how many steps the episodes had
 */
export function reachedStates(
  { env, policy }: Pick<Studied, 'env' | 'policy'>,
  { stateCount, seed }: Pick<AccuracySettings, 'stateCount' | 'seed'>,
): { readonly places: readonly Place[]; readonly stepCount: number } {
  const starts = Array.from({ length: stateCount }, (_, i) =>
    placeOf(env, env.reset(episodeSeed(seed, i, 0)).observation),
  );
  const randoms = starts.map((_, i) => createRandom(seed, firstStateStream + i));
  const places = [...starts];
  const ends = runInLockstep({
    ...{ env, policy, starts, stepCountMax: env.episodeStepCountMax },
    // Step t takes the place of the one before with probability 1 / (t + 1): in the end each has had the same.
    before(episode, place, step) {
      if (randoms[episode]!.uniform() * (step + 1) < 1) places[episode] = copyOf(place);
    },
  });
  return { places, stepCount: stepsOf(ends) };
}

/** a_mu with noise, clipped to the bounds. @param chosen [S, A] @returns [S, N, A] */
function triedActions(
  chosen: Float32Array,
  action: TensorSpec,
  { actionCount, noise, seed }: Pick<AccuracySettings, 'actionCount' | 'noise' | 'seed'>,
): Float32Array {
  const size = specSize(action);
  const halves = halfRanges(action);
  const tried = new Float32Array(chosen.length * actionCount);
  createRandom(seed, actionStream).fillNormal(tried);
  for (let i = 0; i < tried.length; i++) {
    const dim = i % size;
    const state = Math.floor(i / (size * actionCount));
    tried[i] = chosen[state * size + dim]! + noise * halves[dim]! * tried[i]!;
  }
  clipToBounds(tried, float32Bounds(action));
  return tried;
}

/** Half of the range between an action value's bounds; 1 where it lacks one. */
function halfRanges({ low, high }: TensorSpec): Float64Array {
  return Float64Array.from(low, (lowest, dim) => {
    const highest = high[dim] ?? null;
    return lowest === null || highest === null ? 1 : (highest - lowest) / 2;
  });
}

export type ReturnsOptions = Omit<Studied, 'onReturn'> & {
  readonly onReturn?: (() => void) | undefined;
  /** One a return, N. */
  readonly starts: readonly Place[];
  /** The first action of each, [N, A], environment units. */
  readonly actions: Float32Array;
};

/**
 * Discounted returns: the first action, then the policy.
 *
 *     sum over t < n of discount^t reward[t]  (+ discount^n min(Q1, Q2)(s[n], pi(s[n])) / reward scale)
 *
 * The part in brackets only where asked for, and where the episode did not terminate. n is the horizon, or the steps that the episode had.
 * @returns [N], and how many steps they had together
 */
export function returnsAfter(
  { env, policy, critic, onReturn, starts, actions }: ReturnsOptions,
  { discount, holdStepCount, horizon = negligibleAfter(discount), bootstraps }: ReturnSettings,
): { readonly returns: Float64Array; readonly stepCount: number } {
  const returns = new Float64Array(starts.length);
  const ends = runInLockstep({
    ...{ env, policy, starts, held: { actions, stepCount: holdStepCount } },
    stepCountMax: Math.min(horizon, env.episodeStepCountMax),
    reward: (episode, reward, step) => {
      returns[episode]! += discount ** step * reward;
    },
    ...(onReturn !== undefined && { over: onReturn }),
  });
  const cut = [...ends.keys()].filter((i) => !ends[i]!.terminated);
  if (bootstraps && cut.length > 0) {
    const places = cut.map((i) => ends[i]!);
    const inputs = {
      observations: observationsOf(places),
      actions: actionsAt(policy, places, specSize(env.specs.action)),
      contexts: contextsOf(places),
    };
    const { q } = critic.evaluate(inputs, 'min');
    cut.forEach((at, i) => {
      returns[at]! += (discount ** ends[at]!.stepCount * q[i]!) / critic.rewardScale;
    });
  }
  return { returns, stepCount: stepsOf(ends) };
}

/** Steps after which rewards weigh too little to count. */
function negligibleAfter(discount: number): number {
  if (discount >= 1) return Number.POSITIVE_INFINITY;
  return discount > 0 ? Math.ceil(Math.log(negligibleWeight) / Math.log(discount)) : 1;
}

const stepsOf = (ends: readonly LockstepEnd[]): number => ends.reduce((sum, { stepCount }) => sum + stepCount, 0);
