/** A policy trained here, in Gymnasium's own environments on native MuJoCo: the same steps and the same returns. Needs the built command. */

import { expect } from 'vitest';
import { createPolicyClient } from '../../clients/typescript/index.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { temporaryStore } from '../server/fixtures.ts';
import { spawnServer } from '../server/spawn.ts';
import { runCommand } from './command.ts';
import { pythonTest, runPython } from './python-run.ts';

type State = Readonly<Record<string, readonly number[]>>;
type Step = {
  readonly before: State;
  readonly action: readonly number[];
  readonly observation: readonly number[];
  readonly reward: number;
  readonly terminated: boolean;
};
type Driven = {
  readonly starts: readonly State[];
  readonly returns: readonly number[];
  readonly lengths: readonly number[];
  readonly steps: readonly Step[];
};

/** What Gymnasium makes of a served policy. */
async function drive(...args: readonly string[]): Promise<Driven> {
  const { code, said } = await runPython(['drive.py', ...args]);
  expect(code, said).toBe(0);
  return JSON.parse(said);
}

const stateOf = (env: string, arrays: State, stepCount = 0) => ({
  env,
  stepCount,
  ended: false,
  arrays: Object.fromEntries(Object.entries(arrays).map(([name, values]) => [name, Float64Array.from(values)])),
});

/** From equal states: chaos and other starts would hide small differences, and make large ones of none. */
async function expectEqualSteps(name: string, steps: readonly Step[]): Promise<void> {
  const env = await createEnvironment(name);
  const apart = { observation: 0, reward: 0 };
  for (const { before, action, observation, reward, terminated } of steps) {
    env.restore(stateOf(name, before));
    const own = env.step(action);
    expect(own.terminated).toBe(terminated);
    apart.reward = Math.max(apart.reward, Math.abs(own.reward - reward));
    for (const [i, value] of own.observation.entries()) {
      apart.observation = Math.max(apart.observation, Math.abs(value - observation[i]!));
    }
  }
  env.dispose();
  expect(apart.observation).toBeLessThan(1e-9);
  expect(apart.reward).toBeLessThan(1e-9);
}

pythonTest('a trained policy earns the same in both, episode by episode', { timeout: 240_000 }, async () => {
  const name = 'InvertedPendulum-v5';
  const store = await temporaryStore();
  const small = '--critic mlp-standard --actor-hidden 32 --steps 600 --warm-up 500 --eval-episodes 1 --threads 1';
  const train = ['train', 'td3', '--env', name, '--model', 'm', '--store', store, '--run', 'r', ...small.split(' ')];
  const trained = await runCommand(train, store);
  expect(trained.code, trained.stderr).toBe(0);
  const { address } = await spawnServer(['--store', store]);
  const driven = await drive(address, 'm', name, '10', '1000');
  await expectEqualSteps(name, driven.steps);

  const client = createPolicyClient({ address });
  const env = await createEnvironment(name);
  const returns: number[] = [];
  for (const start of driven.starts) {
    let observation = env.restore(stateOf(name, start));
    let total = 0;
    for (let ended = false; !ended; ) {
      const { action } = await client.act({ model: 'm', observation: Float32Array.from(observation) });
      const step = env.step(action.values);
      total += step.reward;
      observation = step.observation;
      ended = step.terminated || step.truncated;
    }
    returns.push(total);
  }
  client.close();
  env.dispose();
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  expect(returns).toHaveLength(10);
  expect(Math.abs(mean(returns) / mean(driven.returns) - 1)).toBeLessThan(0.01);
});

pythonTest('a task with contacts takes the same steps in both', { timeout: 240_000 }, async () => {
  const name = 'HalfCheetah-v5';
  const { specs, dispose } = await createEnvironment(name);
  dispose();
  const environment = { name, ...specs };
  const store = await temporaryStore([{ model: 'cheetah', policy: 'plain', critic: 'none', environment }]);
  const { address } = await spawnServer(['--store', store]);
  const { steps, lengths } = await drive(address, 'cheetah', name, '1', '200');
  expect(lengths).toEqual([200]);
  await expectEqualSteps(name, steps);
});
