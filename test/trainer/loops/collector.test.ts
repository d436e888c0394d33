import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Env, StepResult } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { type Collector, createCollector } from '../../../trainer/loops/collector.ts';
import type { Transition } from '../../../trainer/replay/replay-buffer.ts';
import { createVectorEnv } from '../../../trainer/rollout/vector-env.ts';
import { joinParts, splitParts } from '../../../trainer/run/parts.ts';

let env: Env;
const stored: Transition[] = [];

beforeAll(async () => {
  env = await createEnvironment('HalfCheetah-v5');
});
afterAll(() => env.dispose());
beforeEach(() => {
  stored.length = 0;
});

/** Keeps copies: the collector uses one object for all transitions. */
const replay = {
  add: ({ observation, action, nextObservation, ...rest }: Transition) => {
    const copies = [observation, action, nextObservation].map((values) => Array.from(values));
    stored.push({ observation: copies[0]!, action: copies[1]!, nextObservation: copies[2]!, ...rest });
  },
};
const learner = { explore: (_: unknown, __: unknown, out: Float32Array) => void out.fill(0.5) };

/** The cheetah never falls, so a wrapper marks the third step of each episode. */
function endingEnv(flags: Partial<StepResult>): Env {
  let length = 0;
  return {
    ...env,
    reset(seed, options) {
      length = 0;
      return env.reset(seed, options);
    },
    step(action) {
      const result = env.step(action);
      length += 1;
      return length === 3 ? { ...result, ...flags } : result;
    },
  };
}

const collectorOf = async (one: Env) => {
  const envs = await createVectorEnv({ env: one, environmentCount: 1, seed: 2, workerCount: 0 });
  return createCollector({ envs, learner, replay, seed: 2 });
};

/** One step, and the episode that it ended, else null. */
function stepOf(collector: Collector, warmUp = false) {
  collector.choose(warmUp);
  collector.begin();
  return collector.finish()[0] ?? null;
}

const run = async (flags: Partial<StepResult>, stepCount: number) => {
  const collector = await collectorOf(endingEnv(flags));
  return Array.from({ length: stepCount }, () => stepOf(collector));
};

describe('createCollector', () => {
  test('transitions follow each other, and the last one keeps the observation that ended the episode', async () => {
    const finished = await run({ terminated: true }, 4);
    expect(stored.map(({ terminated }) => terminated)).toEqual([false, false, true, false]);
    expect(stored[1]!.observation).toEqual(stored[0]!.nextObservation);
    expect(stored[2]!.observation).toEqual(stored[1]!.nextObservation);
    expect(stored[3]!.observation).not.toEqual(stored[2]!.nextObservation);
    const [first, second, third] = stored.map(({ reward }) => reward);
    expect(finished).toEqual([
      null,
      null,
      { episodeReturn: first! + second! + third!, episodeLength: 3, diverged: false },
      null,
    ]);
  });

  test('truncation ends the episode but is not stored as termination', async () => {
    const finished = await run({ truncated: true }, 3);
    expect(finished[2]).toMatchObject({ episodeLength: 3 });
    expect(stored.map(({ terminated }) => terminated)).toEqual([false, false, false]);
  });

  test('a step in which the simulator diverged is not stored', async () => {
    const finished = await run({ truncated: true, diverged: true, reward: 0 }, 4);
    expect(finished[2]).toMatchObject({ episodeLength: 3, diverged: true });
    expect(stored).toHaveLength(3);
    expect(stored[2]!.observation).not.toEqual(stored[1]!.nextObservation);
  });

  test('a step in which the simulator diverged may have led to an observation that no loss can hold', async () => {
    const observation = new Float64Array(17).fill(1e20);
    const finished = await run({ truncated: true, diverged: true, reward: 0, observation }, 4);
    expect(finished[2]).toMatchObject({ episodeLength: 3, diverged: true });
    expect(stored).toHaveLength(3);
  });

  test('warm-up actions fill the bounds, or are normal where there are none', async () => {
    const unbounded: Env = {
      ...env,
      specs: {
        ...env.specs,
        action: { ...env.specs.action, low: [-1, -1, -1, 2, 2, null], high: [1, 1, 1, 3, 3, null] },
      },
    };
    const collector = await collectorOf(unbounded);
    for (let step = 0; step < 300; step++) stepOf(collector, true);
    const column = (i: number) => stored.map(({ action }) => action[i]!);
    for (const [i, low, high] of [
      [0, -1, 1],
      [3, 2, 3],
    ] as const) {
      expect(Math.min(...column(i))).toBeGreaterThanOrEqual(low);
      expect(Math.min(...column(i))).toBeLessThan(low + 0.1);
      expect(Math.max(...column(i))).toBeLessThanOrEqual(high);
      expect(Math.max(...column(i))).toBeGreaterThan(high - 0.1);
    }
    expect(Math.max(...column(5))).toBeGreaterThan(1.5);
  });

  test('warm-up actions keep bounds that float32 does not hold', async () => {
    // So close that half of all draws round to the float32 above the bound: 0.1 is 13421772.8 x 2^-27.
    const [low, high] = [13_421_771 * 2 ** -27, 0.1];
    const { names, units } = env.specs.action;
    const tight = { names, units, low: names.map(() => low), high: names.map(() => high) };
    const collector = await collectorOf({ ...env, specs: { ...env.specs, action: tight } });
    for (let step = 0; step < 10; step++) stepOf(collector, true);
    const drawn = stored.flatMap(({ action }) => Array.from(action));
    expect([Math.min(...drawn), Math.max(...drawn)]).toEqual([low, 13_421_772 * 2 ** -27]);
  });
});

describe('parts of a checkpoint', () => {
  test('come apart as they were joined, and a missing one is named', () => {
    const parts = {
      learner: { arrays: { 'actor.weights': Float32Array.of(1) }, state: { updates: 3 } },
      replay: { arrays: { rows: Float32Array.of(2) }, state: null },
    };
    const joined = joinParts(parts, 'own');
    expect(Object.keys(joined.arrays)).toEqual(['learner/actor.weights', 'replay/rows']);
    expect(splitParts(joined, ['learner', 'replay'])).toEqual({ parts, state: 'own' });
    expect(() => splitParts(joined, ['learner', 'collector'])).toThrow(
      'checkpoint: expected a part "collector", got learner, replay',
    );
  });
});
