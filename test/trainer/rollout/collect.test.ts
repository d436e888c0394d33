/** Rollouts of a policy in a vectorised environment. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runToEnd } from '../../../src/contract/sliced.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { readPackage } from '../../../src/package/package.ts';
import { type RolloutOptions, rolloutSlices } from '../../../trainer/rollout/collect.ts';
import { type BatchPolicy, createPackagePolicy, createRandomPolicy } from '../../../trainer/rollout/policy.ts';
import { createVectorEnv, type VectorEnv } from '../../../trainer/rollout/vector-env.ts';
import { publishRandomPackage } from '../../random-package.ts';

let store: string;
const open: { dispose(): unknown }[] = [];
beforeEach(() => {
  store = mkdtempSync(join(tmpdir(), 'hyperpolicy-rollout-'));
});
afterEach(async () => {
  for (const item of open.splice(0)) await item.dispose();
  rmSync(store, { recursive: true });
});
const keep = <T extends { dispose(): unknown }>(item: T): T => {
  open.push(item);
  return item;
};

const create = async (env: string, options: { threadCount?: number; contexts?: number[][] } = {}): Promise<VectorEnv> =>
  keep(await createVectorEnv({ env, environmentCount: 4, seed: 5, threadCount: 2, ...options }));

const collectRollout = (options: RolloutOptions) => runToEnd(rolloutSlices(options));

describe('a rollout', () => {
  it('keeps the last observation of an episode and starts the next one after it', async () => {
    const env = await create('Hopper-v5');
    env.reset();
    const policy = createRandomPolicy(env.specs, 1);
    expect(() => collectRollout({ env, policy, stepCount: 1e12 })).toThrow('rollout: expected steps that fit in');
    const rollout = collectRollout({ env, policy, stepCount: 80 });
    expect(rollout.episodes.length).toBeGreaterThan(4);
    const size = 11;
    const row = (array: Float32Array, step: number, index: number) =>
      array.slice((step * 4 + index) * size, (step * 4 + index + 1) * size);
    let continued = 0;
    for (let step = 0; step + 1 < 80; step++) {
      for (let index = 0; index < 4; index++) {
        const ended = rollout.episodes.some((episode) => episode.row === index && episode.step === step);
        const flags = rollout.terminated[step * 4 + index]! + rollout.truncated[step * 4 + index]!;
        expect(flags).toBe(Number(ended));
        const after = row(rollout.nextObservations, step, index);
        const next = row(rollout.observations, step + 1, index);
        if (ended) expect(after).not.toEqual(next);
        else expect(after).toEqual(next);
        continued += Number(!ended);
      }
    }
    expect(continued).toBeGreaterThan(200);
    // A fallen hopper is below 0.7 m or tilted; the next episode starts upright at 1.25 m.
    const [first] = rollout.episodes;
    expect(row(rollout.observations, first!.step + 1, first!.row)[0]).toBeCloseTo(1.25, 1);
  });

  it('sums rewards to the returns that it reports', async () => {
    const env = await create('Pendulum-v1');
    env.reset();
    const rollout = collectRollout({ env, policy: createRandomPolicy(env.specs, 1), stepCount: 200 });
    expect(rollout.episodes.map(({ row, step, length }) => [row, step, length])).toEqual([
      [0, 199, 200],
      [1, 199, 200],
      [2, 199, 200],
      [3, 199, 200],
    ]);
    const sum = rollout.rewards.reduce((total, reward, i) => (i % 4 === 2 ? total + reward : total), 0);
    expect(rollout.episodes[2]!.return).toBeCloseTo(sum, 9);
  });

  it('is the same on one thread', async () => {
    const results = [];
    for (const threadCount of [1, 2]) {
      const env = await create('HalfCheetah-Vel', { threadCount });
      env.reset();
      results.push(collectRollout({ env, policy: createRandomPolicy(env.specs, 1), stepCount: 30 }));
    }
    expect(results[1]).toEqual(results[0]);
  });
});

describe("a published model's policy", () => {
  const packagePolicy = async (environment: string, policy: 'plain' | 'hyper'): Promise<BatchPolicy> => {
    const env = keep(await createEnvironment(environment));
    const { directory } = await publishRandomPackage({
      store,
      model: 'random',
      policy,
      critic: 'none',
      stochastic: policy === 'plain',
      environment: { name: environment, ...env.specs },
    });
    return keep(createPackagePolicy(await readPackage(directory), { specs: env.specs, threadCount: 1 }));
  };

  it.each(['plain', 'hyper'] as const)('gives each row what it gives that row alone (%s)', async (kind) => {
    const name = kind === 'plain' ? 'Pendulum-v1' : 'Point-Robot';
    const policy = await packagePolicy(name, kind);
    const env = await create(name);
    env.reset();
    const { observations, contexts } = env.batch;
    const actionSize = env.specs.action.names.length;
    const together = new Float32Array(4 * actionSize);
    policy.act(observations, contexts, together);
    expect(new Set(together).size).toBeGreaterThan(3);
    const part = <T extends Float32Array | Float64Array>(array: T, row: number) =>
      array.slice((row * array.length) / 4, ((row + 1) * array.length) / 4) as T;
    for (let row = 0; row < 4; row++) {
      const alone = new Float32Array(actionSize);
      policy.act(part(observations, row), part(contexts, row), alone);
      part(together, row).forEach((value, i) => {
        expect(alone[i]).toBeCloseTo(value, 5);
      });
    }
  });

  it('follows a change of context', async () => {
    const policy = await packagePolicy('Point-Robot', 'hyper');
    const act = (context: number[]) => {
      const actions = new Float32Array(2);
      policy.act(Float32Array.of(0.3, 0.4), Float64Array.from(context), actions);
      return actions;
    };
    const first = act([1, 0]);
    expect(act([0, 1])).not.toEqual(first);
    expect(act([1, 0])).toEqual(first);
  });

  it('is refused for an environment with other specs', async () => {
    const env = keep(await createEnvironment('Pendulum-v1'));
    const { directory } = await publishRandomPackage({ store, model: 'other', policy: 'plain', critic: 'none' });
    const other = await readPackage(directory);
    expect(() => createPackagePolicy(other, { specs: env.specs, threadCount: 1 })).toThrow(
      "expected a model for the environment's observation 3, action 1, no context, got one for observation 17, action 6, no context. It was made for no environment: choose one that has its specs",
    );
  });
});
