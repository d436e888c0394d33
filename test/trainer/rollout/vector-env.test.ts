/** Vectorised environments: the same results as single ones and for any number of threads, auto-reset, misuse. */

import { afterEach, describe, expect, it } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { episodeSeed } from '../../../trainer/rollout/rows.ts';
import { createVectorEnv, type VectorEnv, type VectorEnvOptions } from '../../../trainer/rollout/vector-env.ts';

const open: VectorEnv[] = [];
const create = async (options: VectorEnvOptions): Promise<VectorEnv> => {
  const env = await createVectorEnv(options);
  open.push(env);
  return env;
};
afterEach(async () => {
  for (const env of open.splice(0)) await env.dispose();
});

/** Uniform actions in [-1, 1], a function of the step. */
function actionsAt(step: number, size: number): Float32Array {
  const random = createRandom(step, 5);
  return Float32Array.from({ length: size }, () => 2 * random.uniform() - 1);
}

const copyOf = ({ batch }: VectorEnv) =>
  Object.fromEntries(Object.entries(batch).map(([name, array]) => [name, Array.from(array)]));

/** Everything that `count` steps gave. */
function roll(env: VectorEnv, count: number, first = 0) {
  const size = env.environmentCount * env.specs.action.names.length;
  return Array.from({ length: count }, (_, step) => {
    env.step(actionsAt(first + step, size));
    return copyOf(env);
  });
}

describe('results', () => {
  it('are those of single environments with the same seeds and actions, resets included', async () => {
    const environmentCount = 3;
    const env = await create({ env: 'Hopper-v5', environmentCount, seed: 11, threadCount: 2 });
    env.reset();
    const singles = await Promise.all(Array.from({ length: environmentCount }, () => createEnvironment('Hopper-v5')));
    const episodes = singles.map(() => 1);
    const returns = singles.map(() => 0);
    const lengths = singles.map(() => 0);
    singles.forEach((single, row) => {
      const { observation } = single.reset(episodeSeed(11, row, 0));
      expect(env.batch.observations.slice(row * 11, row * 11 + 11)).toEqual(Float32Array.from(observation));
    });
    let endCount = 0;
    for (let step = 0; step < 120; step++) {
      const actions = actionsAt(step, environmentCount * 3);
      env.step(actions);
      const { batch } = env;
      singles.forEach((single, row) => {
        const result = single.step(actions.subarray(row * 3, row * 3 + 3));
        returns[row]! += result.reward;
        lengths[row]!++;
        expect(batch.rewards[row]).toBe(result.reward);
        expect([batch.terminated[row], batch.truncated[row]]).toEqual([
          Number(result.terminated),
          Number(result.truncated),
        ]);
        let next = Float32Array.from(result.observation);
        if (result.terminated || result.truncated) {
          endCount++;
          expect(batch.finals.slice(row * 11, row * 11 + 11)).toEqual(next);
          expect([batch.returns[row], batch.lengths[row]]).toEqual([returns[row], lengths[row]]);
          next = Float32Array.from(single.reset(episodeSeed(11, row, episodes[row]!++)).observation);
          returns[row] = lengths[row] = 0;
        }
        expect(batch.observations.slice(row * 11, row * 11 + 11)).toEqual(next);
      });
    }
    expect(endCount).toBeGreaterThan(5);
    for (const single of singles) single.dispose();
  });

  it('do not depend on the number of threads', async () => {
    const options = { env: 'Ant-Vel', environmentCount: 5, seed: 3 };
    const results = [];
    for (const threadCount of [1, 2, 3]) {
      const env = await create({ ...options, threadCount });
      expect(env.threadCount).toBe(threadCount);
      env.reset();
      results.push([copyOf(env), ...roll(env, 60)]);
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it('differ between environments and between seeds', async () => {
    const one = await create({ env: 'Pendulum-v1', environmentCount: 4, seed: 1, threadCount: 1 });
    const two = await create({ env: 'Pendulum-v1', environmentCount: 4, seed: 2, threadCount: 1 });
    one.reset();
    two.reset();
    const speeds = [...one.batch.observations, ...two.batch.observations].filter((_, i) => i % 3 === 2);
    expect(new Set(speeds).size).toBe(8);
  });

  it('tell truncation from termination and give the return and length of the episode that ended', async () => {
    const env = await create({ env: 'Pendulum-v1', environmentCount: 2, seed: 1, threadCount: 2 });
    env.reset();
    const results = roll(env, 200);
    expect(results.slice(0, 199).every(({ truncated }) => truncated!.every((flag) => flag === 0))).toBe(true);
    expect(results[199]).toMatchObject({ truncated: [1, 1], terminated: [0, 0], lengths: [200, 200] });
    const sum = results.reduce((total, { rewards }) => total + rewards![1]!, 0);
    expect(results[199]!.returns![1]).toBeCloseTo(sum, 9);
  });

  it('continue exactly after save and restore, on another number of threads', async () => {
    const options = { env: 'Hopper-v5', environmentCount: 4, seed: 9 };
    const env = await create({ ...options, threadCount: 2 });
    env.reset();
    roll(env, 15);
    const saved = structuredClone(await env.save());
    const expected = roll(env, 40, 15).map(({ observations, rewards }) => ({ observations, rewards }));
    const other = await create({ ...options, threadCount: 3 });
    await other.restore(saved);
    expect(roll(other, 40, 15).map(({ observations, rewards }) => ({ observations, rewards }))).toEqual(expected);
  });

  it('are the same where the caller works between begin and finish', async () => {
    const options = { env: 'Pendulum-v1', environmentCount: 4, seed: 9, threadCount: 2 };
    const whole = await create(options);
    const split = await create(options);
    whole.reset();
    split.reset();
    for (let step = 0; step < 5; step++) {
      const actions = actionsAt(step, 4);
      whole.step(actions);
      split.begin(actions);
      await new Promise((resolve) => setImmediate(resolve));
      split.finish();
      expect(copyOf(split)).toEqual(copyOf(whole));
    }
  });
});

it('works for environments that have no fast state rows of their own, and with tasks that change the model', async () => {
  for (const name of [`${import.meta.dirname}/../../envs/files/cart.js`, 'Hopper-Rand-Params', 'Pendulum-v1']) {
    const results = [];
    for (const threadCount of [1, 2]) {
      const env = await create({ env: name, environmentCount: 3, seed: 3, threadCount });
      env.reset();
      results.push(roll(env, 45));
    }
    expect(results[1]).toEqual(results[0]);
  }
});

describe('tasks', () => {
  it('are drawn per episode unless given, and shown', async () => {
    const env = await create({ env: 'Point-Robot', environmentCount: 2, seed: 1, threadCount: 2 });
    env.reset();
    const first = [...env.batch.contexts];
    roll(env, 20);
    expect([...env.batch.contexts]).not.toEqual(first);
  });

  it('stay as given, one per environment, until they are changed', async () => {
    const contexts = [
      [1, 0],
      [0, 1],
    ];
    const env = await create({ env: 'Point-Robot', environmentCount: 2, seed: 1, threadCount: 2, contexts });
    env.reset();
    roll(env, 20);
    expect([...env.batch.contexts]).toEqual([1, 0, 0, 1]);
    env.setContexts([
      [0, 1],
      [0, 1],
    ]);
    roll(env, 20);
    expect([...env.batch.contexts]).toEqual([0, 1, 0, 1]);
  });

  it('are those of a collection that follows one that was given up in the middle of a step', async () => {
    const contexts = [[1, 0]];
    const env = await create({ env: 'Point-Robot', environmentCount: 1, seed: 1, threadCount: 1, contexts });
    env.reset();
    env.begin([0, 0]);
    env.setContexts([[0, 1]]);
    env.reset(7);
    expect([...env.batch.contexts]).toEqual([0, 1]);
  });
});

describe('misuse', () => {
  it('is refused with what was expected', async () => {
    const env = await create({ env: 'Pendulum-v1', environmentCount: 3, seed: 1, threadCount: 2 });
    expect(() => env.step([0, 0, 0])).toThrow(
      'Pendulum-v1: step: expected episodes in progress and no step, got no episodes yet. Call reset first',
    );
    env.reset();
    const before = copyOf(env);
    expect(() => env.step([0, 0])).toThrow('Pendulum-v1: step: expected 3 x 1 action values, got 2');
    expect(() => env.step([0, 0, Number.NaN])).toThrow(
      'Pendulum-v1: step: expected a finite action value 0 (rod.torque) in row 2, got NaN',
    );
    expect(copyOf(env)).toEqual(before);
    expect(() => env.finish()).toThrow('Pendulum-v1: finish: expected a step in progress, got none. Call begin first');
    env.begin([0, 0, 0]);
    expect(() => env.begin([0, 0, 0])).toThrow('got one in progress. Finish the step in progress first');
    env.finish();
    await expect(env.restore([])).rejects.toThrow('Pendulum-v1: restore: expected 3 states, got 0');
    expect(() => env.setContexts([])).toThrow('expected a batch with given contexts');
  });

  it.each([
    [{ env: 'Nowhere', environmentCount: 2, seed: 1 }, 'environment: expected one of'],
    [
      { env: 'Pendulum-v1', environmentCount: 0, seed: 1 },
      'createVectorEnv: environmentCount: expected a positive integer',
    ],
    [{ env: 'Pendulum-v1', environmentCount: 2, seed: -1 }, 'createVectorEnv: seed: expected an integer in [0, 2^53)'],
    [{ env: 'Pendulum-v1', environmentCount: 2, seed: 1, contexts: [[1]] }, 'Pendulum-v1: contexts: expected none'],
    [{ env: 'Point-Robot', environmentCount: 2, seed: 1, contexts: [[1, 0]] }, 'expected 2, one a row, got 1'],
  ])('is refused at creation: %j', async (options, message) => {
    await expect(createVectorEnv(options)).rejects.toThrow(message);
  });

  it('of one row leaves a batch that is not used again', async () => {
    const env = await create({ env: 'Pendulum-v1', environmentCount: 2, seed: 1, threadCount: 2 });
    env.reset();
    const saved = await env.save();
    const broken = [saved[0]!, { ...saved[1]!, env: { ...saved[1]!.env, env: 'Elsewhere' } }];
    await expect(env.restore(broken)).rejects.toThrow(
      'Pendulum-v1.restore: expected a state of Pendulum-v1, got one of Elsewhere',
    );
    expect(() => env.step([0, 0])).toThrow(
      'Pendulum-v1: expected environments in step with each other, got a batch that failed. Dispose it and create another',
    );
  });

  it.each([1, 2])("by a user's environment that throws shows what it threw (%i threads)", async (threadCount) => {
    const path = `${import.meta.dirname}/../../envs/files/fails.js`;
    const env = await create({ env: path, environmentCount: 4, seed: 1, threadCount });
    env.reset();
    const actions = [0, 0, 0, 0];
    // Eight steps in two rounds: one of two threads has made three. The file counts from its first use in a thread.
    expect(() => {
      env.step(actions);
      env.step(actions);
    }).toThrow('out of cheese');
    expect(() => env.step(actions)).toThrow('got a batch that failed');
  });
});
