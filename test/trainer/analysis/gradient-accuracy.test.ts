/** Gradient accuracy on tasks whose true gradient is known; returns that are those of episodes without saving; repetition. */

import { afterEach, describe, expect, test } from 'vitest';
import { plainSpec } from '../../../src/contract/tensor-spec.ts';
import type { Env } from '../../../src/envs/env.ts';
import { createEnv } from '../../../src/envs/episode.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import {
  type AccuracySettings,
  gradientAccuracy,
  reachedStates,
  returnsAfter,
} from '../../../trainer/analysis/gradient-accuracy.ts';
import type { BatchCritic } from '../../../trainer/analysis/package-critic.ts';
import type { BatchPolicy } from '../../../trainer/rollout/policy.ts';
import { episodeSeed } from '../../../trainer/rollout/rows.ts';

const open: { dispose(): unknown }[] = [];
afterEach(() => {
  for (const item of open.splice(0)) item.dispose();
});
const keep = <T extends { dispose(): unknown }>(item: T): T => {
  open.push(item);
  return item;
};

type Reward = (place: readonly [x: number, y: number], action: Float64Array) => number;

/** A point on a plane that moves by its action, which is larger in y. It terminates beyond `end`. */
function plane({
  reward,
  stepCountMax = 20,
  end = Infinity,
}: {
  reward: Reward;
  stepCountMax?: number;
  end?: number;
}): Env {
  const action = plainSpec('step', 2, { low: -1, high: 1 });
  let place: [number, number] = [0, 0];
  return createEnv({
    name: 'plane',
    specs: {
      observation: plainSpec('place', 2),
      action: { ...action, low: [-1, -2], high: [1, 2] },
      context: null,
    },
    episodeStepCountMax: stepCountMax,
    stepDurationS: 1,
    info: {},
    tasks: null,
    begin(random) {
      place = [0.1 * random.normal(), 0.1 * random.normal()];
    },
    advance(values, outcome) {
      place = [place[0] + values[0]!, place[1] + values[1]!];
      outcome.reward = reward(place, values);
      outcome.terminated = place[0] > end;
      return true;
    },
    observe: (observation) => observation.set(place),
    capture: () => ({ place: Float64Array.from(place) }),
    reinstate({ place: saved }) {
      place = [saved![0]!, saved![1]!];
    },
    dispose() {},
  });
}

/** Moves towards 0 by a share of the place; deterministic and the same for every number of rows. */
const towardsZero = (share: number): BatchPolicy => ({
  act(observations, _, actions) {
    for (let i = 0; i < actions.length; i++) actions[i] = -share * observations[i]!;
  },
  dispose() {},
});

/** A critic with the same gradient everywhere. */
const constantCritic = (gradient: readonly number[], q = 0): BatchCritic => ({
  rewardScale: 1,
  evaluate({ actions }) {
    const rowCount = actions.length / gradient.length;
    return {
      q: new Float32Array(rowCount).fill(q),
      dqDa: Float32Array.from({ length: actions.length }, (_, i) => gradient[i % gradient.length]!),
    };
  },
  dispose() {},
});

const settings: AccuracySettings = {
  ...{ stateCount: 4, actionCount: 15, noise: 0.3, discount: 0.9, holdStepCount: 1 },
  ...{ bootstraps: false, reduction: 'q1', seed: 3 },
};

describe('where the gradient is known', () => {
  // An action moves all places after it, so the return's gradient is (3, 4) times a sum of discounts that both values share.
  const linear = () => plane({ reward: ([x, y]) => 3 * x + 4 * y });

  test.each([
    ['an honest critic', [3, 4], 1],
    ['one of another scale', [300, 400], 1],
    ['one with the sign reversed', [-3, -4], -1],
    // In halves of the ranges, (1, 2), the truth is (3, 8) and this (4, -6): their product is 12 - 48, their lengths 8.544 and 7.211.
    ['another one', [4, -3], -36 / Math.sqrt(73 * 52)],
  ])('%s gets the cosine that it should', (_, gradient, cosine) => {
    const studied = { env: linear(), policy: towardsZero(0.1), critic: constantCritic(gradient) };
    const { cosines, stepCount } = gradientAccuracy(studied, settings);
    expect(cosines).toHaveLength(4);
    for (const found of cosines) expect(found).toBeCloseTo(cosine, 5);
    // The four episodes, and what was left of them fifteen times: at least a step each.
    expect(stepCount).toBeGreaterThanOrEqual(4 * 20 + 60);
    expect(stepCount).toBeLessThanOrEqual(4 * 20 + 60 * 20);
  });

  test('curvature leaves the estimate close', () => {
    const env = plane({ reward: (_, [a, b]) => 3 * a! + 4 * b! - a! ** 2 - b! ** 2, stepCountMax: 1 });
    const studied = { env, policy: towardsZero(0), critic: constantCritic([3, 4]) };
    const { cosines } = gradientAccuracy(studied, { ...settings, actionCount: 100 });
    for (const found of cosines) expect(found).toBeGreaterThan(0.99);
  });

  test('there is no cosine where returns do not depend on the action', () => {
    const studied = { env: plane({ reward: () => 0 }), policy: towardsZero(0.1), critic: constantCritic([3, 4]) };
    expect(gradientAccuracy(studied, settings).cosines).toEqual([null, null, null, null]);
  });

  test('a seed decides everything', () => {
    const env = plane({ reward: ([x, y]) => Math.sin(5 * x) + y * x });
    const studied = { env, policy: towardsZero(0.3), critic: constantCritic([3, 4]) };
    const first = gradientAccuracy(studied, settings);
    expect(gradientAccuracy(studied, settings)).toEqual(first);
    expect(gradientAccuracy(studied, { ...settings, seed: 4 })).not.toEqual(first);
  });

  test('too few actions are refused', () => {
    const studied = { env: linear(), policy: towardsZero(0.1), critic: constantCritic([3, 4]) };
    expect(() => gradientAccuracy(studied, { ...settings, actionCount: 2 })).toThrow(
      'actions at each state: expected at least 3, one more than an action of plane has values, got 2',
    );
  });

  test('more returns than memory has room for are refused', () => {
    const studied = { env: linear(), policy: towardsZero(0.1), critic: constantCritic([3, 4]) };
    expect(() => gradientAccuracy(studied, { ...settings, stateCount: 100, actionCount: 201 })).toThrow(
      'returns of a version: expected at most 20000, got 100 states x 201 actions. Choose fewer of one',
    );
  });
});

test('each state of an episode is as likely as another', () => {
  const env = plane({ reward: () => 0, stepCountMax: 4 });
  const { places, stepCount } = reachedStates({ env, policy: towardsZero(0.1) }, { stateCount: 400, seed: 1 });
  expect(stepCount).toBe(1600);
  // A row begins with the step count. 100 of each, with a standard deviation of 8.7.
  const counts = [0, 1, 2, 3].map((step) => places.filter(({ state }) => state[0] === step).length);
  expect(counts.reduce((sum, count) => sum + count)).toBe(400);
  for (const count of counts) expect(Math.abs(count - 100)).toBeLessThan(35);
});

describe('returns', () => {
  test.each(['Hopper-v5', 'Point-Robot'])('on %s are those of an episode that was never saved', async (name) => {
    const env = keep(await createEnvironment(name));
    const plain = keep(await createEnvironment(name));
    const size = env.specs.action.names.length;
    const policy: BatchPolicy = {
      act(observations, _, actions) {
        const rowCount = actions.length / size;
        const width = observations.length / rowCount;
        for (let i = 0; i < actions.length; i++) {
          actions[i] = Math.sin(7 * observations[Math.floor(i / size) * width + (i % size)]! + (i % size));
        }
      },
      dispose() {},
    };
    const { places } = reachedStates({ env, policy }, { stateCount: 3, seed: 5 });
    const first = Float32Array.from({ length: 3 * size }, (_, i) => 0.4 - 0.1 * i);
    const options = { env, policy, critic: constantCritic([0]), starts: places, actions: first };
    const { returns } = returnsAfter(options, { ...settings, holdStepCount: 3, discount: 0.99 });

    const act = (observation: ArrayLike<number>) => {
      const action = new Float32Array(size);
      policy.act(Float32Array.from(observation), new Float64Array(), action);
      return action;
    };
    const expected = places.map(({ state }, i) => {
      let { observation } = plain.reset(episodeSeed(5, i, 0));
      for (let step = 0; step < state[0]!; step++) observation = plain.step(act(observation)).observation;
      let sum = 0;
      for (let step = 0; ; step++) {
        const action = step < 3 ? first.subarray(i * size, (i + 1) * size) : act(observation);
        const result = plain.step(action);
        observation = result.observation;
        sum += 0.99 ** step * result.reward;
        if (result.terminated || result.truncated) return sum;
      }
    });
    expect([...returns]).toEqual(expected);
    expect(returnsAfter(options, { ...settings, holdStepCount: 3, discount: 0.99 }).returns).toEqual(returns);
  });

  const steady = (options: { end?: number; stepCountMax?: number } = {}) => plane({ reward: () => 1, ...options });
  const returnOf = (
    env: Env,
    critic: BatchCritic,
    more: Partial<AccuracySettings>,
    actions = Float32Array.of(0.5, 0),
  ) => {
    const { places } = reachedStates({ env, policy: towardsZero(0) }, { stateCount: 1, seed: 1 });
    const start = { ...places[0]!, state: places[0]!.state.slice().fill(0, 0, 1) };
    const options = { env, policy: towardsZero(0), critic, starts: [start], actions };
    return returnsAfter(options, { ...settings, ...more });
  };

  test.each([
    ['the episode', {}, 20],
    ['the horizon', { horizon: 3 }, 3],
    ['the step after which rewards weigh less than 1e-4', { discount: 0.1 }, 4],
    ['the first step, if no other counts', { discount: 0 }, 1],
  ])('end with %s', (_, more, stepCount) => {
    expect(returnOf(steady(), constantCritic([0, 0]), more).stepCount).toBe(stepCount);
  });

  test('have the value at the horizon and at the time limit if asked, in environment rewards, and none after termination', () => {
    const critic = { ...constantCritic([0, 0], 10), rewardScale: 5 };
    const more = { discount: 0.5, bootstraps: true };
    // 1 + 1/2 + 1/4, and 1/8 of 10 / 5.
    expect(returnOf(steady(), critic, { ...more, horizon: 3 }).returns[0]).toBe(2);
    expect(returnOf(steady({ stepCountMax: 3 }), critic, more).returns[0]).toBe(2);
    expect(returnOf(steady({ stepCountMax: 3 }), critic, { discount: 0.5 }).returns[0]).toBe(1.75);
    // It terminates in the second step.
    expect(returnOf(steady({ end: 0.8 }), critic, { ...more, holdStepCount: 2 }).returns[0]).toBe(1.5);
  });
});
