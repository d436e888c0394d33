/** Random models that adapt in process. Trained ones: test/trainer/algorithms/{maml,pearl}/serving.test.ts. */

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { readPackage } from '../../../src/package/package.ts';
import { createAdaptingPolicy } from '../../../trainer/rollout/adapting-policy.ts';
import { type PackageOptions, startTestServer, temporaryStore } from '../../server/fixtures.ts';
import { expectAdaptsAsServed } from './adapts-as-served.ts';

const env = await createEnvironment('Point-Robot');
const { specs } = env;
env.dispose();
const random = { model: 'm', critic: 'none', environment: { name: 'Point-Robot', ...specs }, hiddenSize: 8 } as const;

test.each<[string, Partial<PackageOptions>]>([
  ['an inner step on generated weights', { stochastic: true, adapt: true }],
  ['an encoder', { encoder: true }],
])('%s gives the actions that a server gives', async (_, options) => {
  const store = await temporaryStore([{ ...random, policy: 'hyper', ...options }]);
  const { client } = await startTestServer([], { store });
  await expectAdaptsAsServed(client, store, 'm');
});

test('a model that does not adapt, or is of another environment, is refused', async () => {
  const store = await temporaryStore([
    { ...random, policy: 'plain' },
    { model: 'other', critic: 'none', policy: 'hyper', encoder: true },
  ]);
  const create = async (model: string) =>
    createAdaptingPolicy(await readPackage(join(store, model, '1')), { specs, threadCount: 1 });
  await expect(create('m')).rejects.toThrow(
    'expected a package with an encoder or an inner step, got one with neither',
  );
  await expect(create('other')).rejects.toThrow(
    "expected a model for the environment's observation 2, action 2, context 2, got one for observation 17, action 6, context 2. It was made for no environment",
  );
});
