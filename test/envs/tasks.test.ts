/** Families of tasks and the small tasks whose rewards can be worked out by hand. */

import { afterEach, describe, expect, it } from 'vitest';
import type { Env } from '../../src/envs/env.ts';
import { createEnvironment, environmentNames } from '../../src/envs/registry.ts';

const open: Env[] = [];
const create = async (name: string): Promise<Env> => {
  const env = await createEnvironment(name);
  open.push(env);
  return env;
};
afterEach(() => {
  for (const env of open.splice(0)) env.dispose();
});

describe('task sampling', () => {
  it('gives the same tasks for a seed, others for another, and other test tasks than training tasks', async () => {
    const tasks = (await create('HalfCheetah-Vel')).tasks!;
    const train = tasks.sample({ split: 'train', seed: 1 });
    expect(train).toHaveLength(100);
    expect(tasks.sample({ split: 'train', seed: 1 })).toEqual(train);
    expect(tasks.sample({ split: 'train', seed: 1, count: 7 })).toEqual(train.slice(0, 7));
    expect(tasks.sample({ split: 'train', seed: 2 })).not.toEqual(train);
    const test = tasks.sample({ split: 'test', seed: 1 });
    expect(test).toHaveLength(30);
    expect(test.some(([velocity]) => train.some(([other]) => other === velocity))).toBe(false);
  });

  it('trains Vel-Medium below 2.5 m/s and tests it above', async () => {
    const env = await create('HalfCheetah-Vel-Medium');
    const velocities = (split: 'train' | 'test') =>
      env.tasks!.sample({ split, seed: 3 }).map(([velocity]) => velocity!);
    expect(Math.max(...velocities('train'))).toBeLessThan(2.5);
    expect(Math.min(...velocities('test'))).toBeGreaterThan(2.5);
    expect(Math.max(...velocities('test'))).toBeLessThan(3);
    for (let seed = 0; seed < 50; seed++) {
      env.reset(seed);
      expect(env.context![0]).toBeLessThan(2.5);
    }
  });

  it('has both directions in both splits, and meets both when resets draw them', async () => {
    const env = await create('HalfCheetah-Fwd-Back');
    const both = [Float64Array.of(1), Float64Array.of(-1)];
    expect(env.tasks!.sample({ split: 'train', seed: 1 })).toEqual(both);
    expect(env.tasks!.sample({ split: 'test', seed: 9 })).toEqual(both);
    const drawn = Array.from({ length: 20 }, (_, seed) => {
      env.reset(seed);
      return env.context![0]!;
    });
    expect(new Set(drawn)).toEqual(new Set([1, -1]));
  });

  it('draws contexts within their specs, and has tasks exactly where specs have a context', async () => {
    for (const name of environmentNames) {
      const env = await create(name);
      expect(env.tasks === null).toBe(env.specs.context === null);
      for (const split of ['train', 'test'] as const) {
        for (const context of env.tasks?.sample({ split, seed: 5, count: 20 }) ?? []) {
          context.forEach((value, i) => {
            const { low, high } = env.specs.context!;
            expect(value).toBeGreaterThanOrEqual(low[i]!);
            expect(value).toBeLessThanOrEqual(high[i]!);
          });
        }
      }
    }
  });
});

describe('the point robot', () => {
  it('pays the negative distance to its goal', async () => {
    const env = await create('Point-Robot');
    env.reset(1, { context: [0.6, 0.8] });
    // One step of (0.1, 0.1), as larger actions are clipped: distance sqrt(0.5^2 + 0.7^2).
    const { reward, observation } = env.step([0.1, 5]);
    expect([...observation]).toEqual([0.1, 0.1]);
    expect(reward).toBeCloseTo(-Math.sqrt(0.25 + 0.49), 12);
  });

  it('pays 1 - distance within 0.2 of its goal and nothing elsewhere where sparse', async () => {
    const env = await create('Point-Robot-Sparse');
    env.reset(1, { context: [0, 1] });
    const rewards = Array.from({ length: 10 }, () => env.step([0, 0.1]).reward);
    // y = 0.1 ... 1.0: 0.8, 0.9 and 1.0 are within 0.2, give or take the rounding of 0.1 * 8.
    expect(rewards.slice(0, 7)).toEqual([0, 0, 0, 0, 0, 0, 0]);
    expect(rewards[8]).toBeCloseTo(0.9, 12);
    expect(rewards[9]).toBeCloseTo(1, 12);
  });
});

describe('bodies with randomised parameters', () => {
  it('behave as the reference body where all exponents are 0', async () => {
    const random = await create('Hopper-Rand-Params');
    const fixed = await create('Hopper-v4');
    random.reset(4, { context: new Float64Array(random.context!.length) });
    fixed.reset(4);
    for (let i = 0; i < 5; i++) {
      const action = [Math.sin(i), Math.cos(i), 0.3];
      expect(random.step(action).observation).toEqual(fixed.step(action).observation);
    }
  });

  it('differ by task, and a task is set anew at every reset', async () => {
    const env = await create('Hopper-Rand-Params');
    const other = await create('Hopper-Rand-Params');
    const first = env.tasks!.sample({ split: 'train', seed: 1, count: 2 });
    const run = (on: Env, context: Float64Array) => {
      on.reset(4, { context });
      return on.step([1, 1, 1]).observation.slice();
    };
    const a = run(env, first[0]!);
    const b = run(other, first[1]!);
    expect(a).not.toEqual(b);
    expect(run(other, first[0]!)).toEqual(a);
    expect(run(env, first[1]!)).toEqual(b);
  });
});

it('the pendulum pays for angle, speed and torque as written', async () => {
  const env = await create('Pendulum-v1');
  env.reset(1);
  const state = env.save();
  state.arrays.angle![0] = 0.5 + 2 * Math.PI;
  state.arrays.speed![0] = 1;
  env.restore(state);
  // 0.5^2 + 0.1 * 1^2 + 0.001 * 2^2, the torque clipped to 2.
  expect(env.step([3]).reward).toBeCloseTo(-(0.25 + 0.1 + 0.004), 12);
});
