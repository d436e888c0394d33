/** Tasks of evaluations, in the training range and beyond it: functions of the seed, and not the training's own. */

import { describe, expect, test } from 'vitest';
import type { Env } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { distribution, type TaskDistribution, uniformTasks } from '../../../src/envs/task-distribution.ts';
import { evaluateOn } from '../../../trainer/run/evaluator.ts';
import { tasksInRange, tasksOutOfRange } from '../../../trainer/run/held-out-tasks.ts';

type Range = readonly [number, number];
const tasks = (train: readonly Range[], test: readonly Range[]) =>
  uniformTasks({ spec: { names: train.map((_, i) => `v${i}`) } as never, train, test });
const drawn = (train: readonly Range[], test: readonly Range[], episodeCount: number) =>
  tasksOutOfRange(tasks(train, test), { episodeCount, seed: 4 });

test('draws within the training range are left out', async () => {
  const found = (await drawn([[0, 2.5]], [[0, 3]], 30))!;
  expect(found).toHaveLength(30);
  for (const [velocity] of found) expect(velocity).toBeGreaterThan(2.5);
  expect((await drawn([[0, 2.5]], [[0, 3]], 7))!).toEqual(found.slice(0, 7));
});

test('one value outside is enough; a test range inside has none, and one that is next to never left is refused', async () => {
  const plane = await drawn(
    [
      [-1, 1],
      [0, 1],
    ],
    [
      [-1, 1],
      [-1, 1],
    ],
    20,
  );
  for (const [, second] of plane!) expect(second).toBeLessThan(0);
  expect(await drawn([[0, 3]], [[1, 2]], 5)).toBeUndefined();
  await expect(drawn([[0, 1]], [[0, 1 + 1e-9]], 1)).rejects.toThrow('one outside the training range in 1024 draws');
});

describe('an evaluation', () => {
  /** The tasks of its episodes, which have one step here. */
  async function evaluatedTasks(env: Env, seed: number, episodeCount: number) {
    const seen: number[][] = [];
    const short: Env = {
      ...env,
      get context() {
        return env.context;
      },
      step: (action) => {
        seen.push([...env.context!]);
        return { ...env.step(action), truncated: true };
      },
    };
    const act = (_: unknown, out: Float32Array) => out.fill(0);
    await evaluateOn({ env: short, act }, { episodeCount, seed, outOfRange: true });
    return seen;
  }

  test.each(['HalfCheetah-Fwd-Back', 'Ant-Fwd-Back'])('in %s has each direction equally often', async (name) => {
    const env = await createEnvironment(name);
    for (let seed = 100; seed < 105; seed++) {
      const directions = (await evaluatedTasks(env, seed, 10)).flat();
      expect(directions.filter((direction) => direction === 1)).toHaveLength(5);
      expect(directions.filter((direction) => direction === -1)).toHaveLength(5);
    }
    env.dispose();
  });

  test.each([
    ['HalfCheetah-Vel', 'test'],
    // Its test tasks reach beyond the training range.
    ['HalfCheetah-Vel-Medium', 'train'],
    ['Point-Robot', 'test'],
    ['Hopper-Rand-Params', 'test'],
  ] as const)('in %s has tasks of the training range by its seed: %s tasks of the family', async (name, split) => {
    const env = await createEnvironment(name);
    const { ranges, sample } = env.tasks!;
    const seen = await evaluatedTasks(env, 100, 4);
    expect(await evaluatedTasks(env, 100, 4)).toEqual(seen);
    expect(await evaluatedTasks(env, 101, 4)).not.toEqual(seen);
    const inRange = seen.slice(0, 4);
    const isInside = (value: number, i: number) => value >= ranges.train[i]![0] && value <= ranges.train[i]![1];
    for (const task of inRange) expect(task.every(isInside)).toBe(true);
    for (const task of seen.slice(4)) expect(task.every(isInside)).toBe(false);
    expect(seen).toHaveLength(name === 'HalfCheetah-Vel-Medium' ? 8 : 4);
    expect(inRange).toEqual(sample({ split, seed: 100, count: 4 }).map((task) => [...task]));
    env.dispose();
  });

  test('has the test tasks of a family that lists its tasks, and training tasks where the test tasks lie beyond', async () => {
    const lists = (train: readonly number[], tests: readonly number[]): TaskDistribution => {
      const rangeOf = (values: readonly number[]) => [[Math.min(...values), Math.max(...values)] as const];
      const ranges = { train: rangeOf(train), test: rangeOf(tests) };
      return distribution({ names: ['v'] } as never, ranges, { train: 3, test: 2 }, (random, context, split) => {
        const values = split === 'train' ? train : tests;
        context[0] = values[random.integer(values.length)]!;
      });
    };
    const drawnOf = async (family: TaskDistribution) =>
      (await tasksInRange(family, { episodeCount: 20, seed: 1 })).map(([value]) => value!);
    for (const value of await drawnOf(lists([0, 2, 4], [1, 3]))) expect([1, 3]).toContain(value);
    for (const value of await drawnOf(lists([0, 2, 4], [5, 6]))) expect([0, 2, 4]).toContain(value);
  });
});
