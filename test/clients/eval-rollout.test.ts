/** `eval` and `rollout` give the same returns for the same policy and seed: one through a server, one in process. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { driveEpisode } from '../../clients/cli/episodes.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { readPackage } from '../../src/package/package.ts';
import { runEpisode } from '../../trainer/rollout/pictures/trajectory.ts';
import { createPackagePolicy } from '../../trainer/rollout/policy.ts';
import { type PackageOptions, startTestServer, temporaryStore } from '../server/fixtures.ts';
import { runCommand } from './command.ts';

type Case = { environment: string; readsNoTask?: boolean };

const cases: Readonly<Record<string, Case & Omit<PackageOptions, 'model' | 'environment'>>> = {
  'a plain policy': { environment: 'Pendulum-v1', policy: 'plain', critic: 'none' },
  'a stochastic one': { environment: 'Pendulum-v1', policy: 'plain', critic: 'none', stochastic: true },
  // Beyond what runs where the request is.
  'a plain policy of 9 MB': { environment: 'Pendulum-v1', policy: 'plain', critic: 'none', hiddenSize: 1500 },
  'one with a context': { environment: 'Point-Robot', policy: 'plain', critic: 'none' },
  'one that does not read the task': { environment: 'Point-Robot', readsNoTask: true, policy: 'plain', critic: 'none' },
  'a hyper policy': { environment: 'Point-Robot', policy: 'hyper', critic: 'none' },
};

test.each(Object.entries(cases))('%s', async (_, { environment, readsNoTask = false, ...options }) => {
  const env = await createEnvironment(environment);
  const named = { name: environment, ...env.specs, ...(readsNoTask && { context: null }) };
  const store = await temporaryStore([{ ...options, model: 'm', environment: named }]);
  const { client } = await startTestServer([], { store });
  const { fingerprint, context } = await client.getModel({ model: 'm' });
  const model = { model: 'm', version: 1, fingerprint, takesContext: context !== undefined };
  const policy = createPackagePolicy(await readPackage(join(store, 'm', '1')), { specs: env.specs, threadCount: 1 });
  for (const seed of [0, 1]) {
    const served = await driveEpisode(client, env, model, { seed });
    const own = runEpisode({ env, policy, seed });
    expect([own.return, own.stepCount]).toEqual([served.return, served.steps]);
    expect(own.return).not.toBe(0);
  }
  policy.dispose();
  env.dispose();
});

test('both play two directions in turn, by the seed, so that few episodes have each equally often', async () => {
  const env = await createEnvironment('HalfCheetah-Fwd-Back');
  const environment = { name: 'HalfCheetah-Fwd-Back', ...env.specs };
  env.dispose();
  const store = await temporaryStore([{ model: 'm', environment, policy: 'plain', critic: 'none' }]);
  const { address } = await startTestServer([], { store });
  const returnsOf = async (...args: string[]) => {
    const { code, stdout, stderr } = await runCommand(args, store);
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout.trim().split('\n');
    return lines.slice(0, -1).map((line) => (JSON.parse(line) as { return: number }).return);
  };
  const ways = [
    ['eval', '--server', address, '--model', 'm'],
    ['rollout', '--store', store, '--policy', 'm'],
    ['rollout', '--env', 'HalfCheetah-Fwd-Back', '--policy', 'zero'],
  ];
  for (const way of ways) {
    const played = (...args: string[]) => returnsOf(...way, '--seed', '3', '--episodes', '4', ...args);
    const [forward, backward] = [await played('--context', '1'), await played('--context', '-1')];
    expect(await played()).toEqual([backward[0], forward[1], backward[2], forward[3]]);
  }
});
