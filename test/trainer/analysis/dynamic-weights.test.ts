/** The weights of a layer are those that the published network computes with: the network by hand gives its results. */

import { expect, onTestFinished, test } from 'vitest';
import type { Env } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { readPackage } from '../../../src/package/package.ts';
import {
  generatedLayers,
  generatingNetwork,
  type LayerValues,
  plainLayers,
} from '../../../trainer/analysis/dynamic-weights.ts';
import { reachedStates } from '../../../trainer/analysis/gradient-accuracy.ts';
import { createPackageCritic } from '../../../trainer/analysis/package-critic.ts';
import { createPackagePolicy } from '../../../trainer/rollout/policy.ts';
import { publishRandomPackage, type RandomPackageOptions } from '../../random-package.ts';
import { temporaryStore } from '../../server/fixtures.ts';
import { publishCritic } from './published-critic.ts';

async function publish(name: string, options: Pick<RandomPackageOptions, 'policy' | 'critic'>) {
  const env = await createEnvironment(name);
  onTestFinished(() => env.dispose());
  const environment = { name, ...env.specs };
  const sizes = { hiddenSize: 8, trunkSizes: [8] };
  const { directory } = await publishRandomPackage({
    ...{ ...options, ...sizes, environment },
    ...{ store: await temporaryStore(), model: 'm' },
  });
  return { env, content: await readPackage(directory) };
}

/** x W + b, with a ReLU between layers. @param member of those that lie side by side */
function evaluate(
  layers: readonly LayerValues[],
  memberCount: number,
  member: number,
  input: readonly number[],
): number[] {
  return layers.reduce<number[]>(
    (x, { weights, biases }, layer) => {
      const outputSize = biases.length / memberCount;
      const at = member * x.length * outputSize;
      const y = Array.from(biases.subarray(member * outputSize, (member + 1) * outputSize), (bias, o) =>
        x.reduce((sum, value, i) => sum + value * weights[at + i * outputSize + o]!, bias),
      );
      return layer + 1 < layers.length ? y.map((value) => Math.max(0, value)) : y;
    },
    [...input],
  );
}

const action = 0.7;

async function firstState(env: Env, content: Awaited<ReturnType<typeof readPackage>>, seed: number) {
  const policy = createPackagePolicy(content, { specs: env.specs, threadCount: 1 });
  onTestFinished(() => policy.dispose());
  return reachedStates({ env, policy }, { stateCount: 1, seed }).places[0]!.observation;
}

test.each(['plain', 'hyper'] as const)('of a %s critic', async (kind) => {
  const { env, content } = await publish('Pendulum-v1', { policy: 'plain', critic: kind });
  const observation = await firstState(env, content, 4);
  const layers =
    kind === 'plain'
      ? plainLayers(content, 'critic', 2)
      : generatedLayers(content, 'critic', { env, inputCount: 1, seed: 4 });
  const critic = createPackageCritic(content);
  onTestFinished(() => critic.dispose());
  const rows = { observations: observation, actions: Float32Array.of(action), contexts: new Float64Array() };
  const q = [0, 1].map(
    (member) => evaluate(layers, 2, member, kind === 'plain' ? [...observation, action] : [action])[0]!,
  );
  expect(critic.evaluate(rows, 'q1').q[0]).toBeCloseTo(q[0]!, 4);
  expect(critic.evaluate(rows, 'min').q[0]).toBeCloseTo(Math.min(...q), 4);
  expect(q[0]).not.toBeCloseTo(q[1]!, 3);
});

test('of several states lie side by side', async () => {
  const { env, content } = await publish('Pendulum-v1', { policy: 'plain', critic: 'hyper' });
  const [one, three] = [1, 3].map((inputCount) => generatedLayers(content, 'critic', { env, inputCount, seed: 4 }));
  // The first state of three is that of one.
  for (const [layer, { weights, biases }] of one!.entries()) {
    expect(three![layer]!.weights).toHaveLength(3 * weights.length);
    for (const [i, weight] of weights.entries()) expect(three![layer]!.weights[i]).toBeCloseTo(weight, 4);
    expect(three![layer]!.biases).toHaveLength(3 * biases.length);
  }
});

test("of a hyper policy are of the environment's tasks", async () => {
  const { env, content } = await publish('Point-Robot', { policy: 'hyper', critic: 'none' });
  expect(generatingNetwork(content)).toBe('policy');
  const layers = generatedLayers(content, 'policy', { env, inputCount: 1, seed: 4 });
  const [context] = env.tasks!.sample({ split: 'train', seed: 4, count: 1 });
  const policy = createPackagePolicy(content, { specs: env.specs, threadCount: 1 });
  onTestFinished(() => policy.dispose());
  const actions = new Float32Array(2);
  policy.act(Float32Array.of(0.3, -0.2), context!, actions);
  const limit = env.specs.action.high[0]!;
  const byHand = evaluate(layers, 1, 0, [Math.fround(0.3), Math.fround(-0.2)]).map((value) =>
    Math.max(-limit, Math.min(limit, Math.tanh(value))),
  );
  expect(actions[0]).toBeCloseTo(byHand[0]!, 4);
  expect(actions[1]).toBeCloseTo(byHand[1]!, 4);
});

test('what cannot be studied is refused with what could', async () => {
  const plain = await publish('Pendulum-v1', { policy: 'plain', critic: 'plain' });
  const { directory } = plain.content;
  expect(() => generatingNetwork(plain.content)).toThrow(
    `${directory}: expected a critic or a policy whose weights a primary generates, got the critic "mlp-small" and the policy "mlp". ` +
      'Critics of "train --critic sa-hyper" and policies of "train --policy hyper" are such',
  );
  expect(() => plainLayers(plain.content, 'critic', 3)).toThrow(
    `${directory}: expected a plain critic of 3 layers to compare with, got the critic "mlp-small", whose graph has 2. ` +
      'Train one with --critic mlp-small',
  );
  const hyper = await publish('Point-Robot', { policy: 'hyper', critic: 'none' });
  expect(() => generatedLayers(hyper.content, 'policy', { env: plain.env, inputCount: 2, seed: 0 })).toThrow(
    `${hyper.content.directory}: expected an environment whose tasks have 2 values, got Pendulum-v1, with 0. ` +
      'Name the environment that it was trained in, "Point-Robot"',
  );
  const lowRank = await publishCritic({
    ...{ architecture: 'sa-hyper', trunkSizes: [8], dynamicHiddenSizes: [8], initialisation: 'default', headRank: 3 },
  });
  expect(() => generatedLayers(lowRank, 'critic', { env: hyper.env, inputCount: 2, seed: 0 })).toThrow(
    `${lowRank.directory}: expected weights that are generated whole, got heads of rank 3. Study a model that was trained without`,
  );
});
