import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Env } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { evaluate } from '../../../trainer/run/evaluation.ts';

let env: Env;
beforeAll(async () => {
  env = await createEnvironment('HalfCheetah-v5');
});
afterAll(() => env.dispose());

const still = (_: Float64Array, out: Float32Array) => out.fill(0);

describe('evaluate', () => {
  test('returns are the sums of rewards of whole episodes, with their mean and standard deviation', async () => {
    const rewards: number[][] = [];
    const recording: Env = {
      ...env,
      reset(seed, options) {
        rewards.push([]);
        return env.reset(seed, options);
      },
      step(action) {
        const result = env.step(action);
        rewards.at(-1)!.push(result.reward);
        return result;
      },
    };
    const result = await evaluate({ env: recording, act: still, episodeCount: 2, seed: 1 });
    const sums = rewards.map((episode) => episode.reduce((sum, reward) => sum + reward, 0));
    expect(result.returns).toEqual(sums);
    expect(result.lengths).toEqual([1000, 1000]);
    expect(result.meanReturn).toBeCloseTo((sums[0]! + sums[1]!) / 2, 12);
    expect(result.standardDeviation).toBeCloseTo(Math.abs(sums[0]! - sums[1]!) / 2, 12);
    expect(result.standardDeviation).toBeGreaterThan(0);
  });

  test('a seed decides the start states', async () => {
    const once = (seed: number) => evaluate({ env, act: still, episodeCount: 2, seed });
    const first = await once(3);
    expect(await once(3)).toEqual(first);
    expect((await once(4)).returns).not.toEqual(first.returns);
  });

  test('refuses an episode count of zero and an action that is not finite, and stops at its signal', async () => {
    await expect(evaluate({ env, act: still, episodeCount: 0, seed: 1 })).rejects.toThrow(
      'evaluate: episodeCount: expected a positive integer, got 0',
    );
    const broken = (_: Float64Array, out: Float32Array) => out.fill(Number.NaN);
    await expect(evaluate({ env, act: broken, episodeCount: 1, seed: 1 })).rejects.toMatchObject({
      kind: 'invalid_argument',
    });
    const signal = AbortSignal.abort(new Error('stopped'));
    await expect(evaluate({ env, act: still, episodeCount: 1, seed: 1, signal })).rejects.toThrow('stopped');
  });
});
