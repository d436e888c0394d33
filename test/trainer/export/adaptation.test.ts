/** What adapts a model, exported: the files compute what the training functions compute, and the server works with them. */

import { sizeOf } from '../../../src/contract/counts.ts';
import '../../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { type ContextSpec, plainSpec } from '../../../src/contract/tensor-spec.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import { createEncoder } from '../../../src/nn/encoders/registry.ts';
import { rangeNormalisation } from '../../../src/nn/normalisation.ts';
import { drawParameters, type ParameterSpecs, shapesOf } from '../../../src/nn/parameters.ts';
import { logProbOf } from '../../../src/nn/policies/policy.ts';
import { createPolicy } from '../../../src/nn/policies/registry.ts';
import { floatTensor, openSession, type TensorMap } from '../../../src/onnx/session.ts';
import { gaussianOf, noKnowledge, withTransitions } from '../../../src/posterior/latent-knowledge.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { exportEncoder, exportStep, splitOf } from '../../../trainer/export/adaptation.ts';
import { layersFrom } from '../../../trainer/export/graphs.ts';
import type { ModelToPublish } from '../../../trainer/export/model.ts';
import { publishModel } from '../../../trainer/export/package.ts';
import { exportPolicy } from '../../../trainer/export/policy.ts';
import { startTestServer, temporaryStore } from '../../server/fixtures.ts';

beforeAll(() => tf.setBackend('cpu'));

const sizes = { observationSize: 4, actionSize: 2, contextSize: 3 };
const hyper = { trunkSizes: [10], dynamicHiddenSizes: [8] };
const action = plainSpec('action', 2, { low: -0.5, high: 2 });
/** Away from the identity, so that what is forgotten shows. */
const units = {
  scaling: actionScaling(action),
  observation: { shift: Float32Array.of(1, 0, -1, 0.5), scale: Float32Array.of(2, 1, 0.5, 3) },
};
const context = rangeNormalisation([0, -1, 0], [3, 1, 2]);

function parametersOf(specs: ParameterSpecs, seed: number) {
  const views = drawParameters(specs, createRandom(seed));
  const random = createRandom(seed, 1);
  // Zeros at the start would hide what is left out.
  for (const view of Object.values(views)) for (let i = 0; i < view.length; i++) view[i]! += 0.1 * random.normal();
  return { views, shapes: shapesOf(specs) };
}

const tensorsOf = ({ views, shapes }: ReturnType<typeof parametersOf>) =>
  Object.fromEntries(Object.entries(views).map(([name, data]) => [name, tf.tensor(data, [...shapes[name]!])]));

/** N steps; actions inside the bounds. */
function stepsOf(seed: number, count: number) {
  const random = createRandom(seed);
  return {
    observation: Float32Array.from({ length: count * 4 }, () => random.normal()),
    action: Float32Array.from({ length: count * 2 }, () => -0.4 + 2.3 * random.uniform()),
    reward: Float32Array.from({ length: count }, () => random.normal()),
  };
}

const transitionSize = 4 + 2 + 1;
const encoder = createEncoder(
  { architecture: 'pearl-encoder', hiddenSizes: [12, 9] },
  { transitionSize, latentSize: 3 },
);
const encoderExport = { ...units, encoder, parameters: parametersOf(encoder.specs, 4), prior: 'start' } as const;

describe('the encoder', () => {
  const { bytes, graph } = exportEncoder(encoderExport, sizes);
  const session = openSession(bytes, { threadCount: 1 });

  test.each([1, 2, 7, 300])('gives the factors of the eager posterior, %i transitions', (count) => {
    const steps = stepsOf(count, count);
    const factors = session.run({
      observation: floatTensor(steps.observation, [count, 4]),
      action: floatTensor(steps.action, [count, 2]),
      reward: floatTensor(steps.reward, [count]),
    });
    expect(factors.precision!.dims).toEqual([count, 3]);
    const parts = ['precision', 'weighted_mean'].map((name) => factors[name]!.data as Float32Array);
    const sums = withTransitions('product', noKnowledge(6), parts, count);
    const { shift, scale } = units.observation;
    const transitions = Array.from({ length: count }, (_, n) => [
      ...shift.map((by, i) => (steps.observation[n * 4 + i]! - by) / scale[i]!),
      // The bounds are -0.5 and 2: centre 0.75, half 1.25.
      ...steps.action.slice(2 * n, 2 * n + 2).map((value) => (value - 0.75) / 1.25),
      steps.reward[n]!,
    ]);
    const eager = encoder.posterior(tensorsOf(encoderExport.parameters), tf.tensor3d([transitions]));
    const { mean, variance } = gaussianOf('product', sums, { size: 3, prior: 'start' });
    for (const [actual, expected] of [
      [mean, eager.mean.dataSync()],
      [variance, eager.variance.dataSync()],
    ] as const) {
      expected.forEach((value, i) => {
        expect(Math.abs(actual[i]! - value)).toBeLessThan(1e-5 * (1 + Math.abs(value)));
      });
    }
  });

  test('has a symbolic number of transitions in the manifest', () => {
    expect(graph.inputs.map(({ shape }) => shape[0])).toEqual(['N', 'N', 'N']);
  });

  test('that is recurrent takes a memory, and one that reads the next observation takes that', () => {
    const wider = { transitionSize: transitionSize + 4, latentSize: 3 };
    const recurrent = createEncoder({ architecture: 'pearl-gru-encoder', hiddenSizes: [4] }, wider);
    const parameters = parametersOf(recurrent.specs, 5);
    const exported = exportEncoder(
      { ...encoderExport, encoder: recurrent, parameters, readsNextObservation: true },
      sizes,
    );
    const names = (side: 'inputs' | 'outputs') => exported.graph[side].map(({ name, shape }) => [name, shape]);
    expect(names('inputs').slice(3)).toEqual([
      ['next_observation', ['N', 4]],
      ['memory', ['N', 4]],
    ]);
    expect(names('outputs')).toEqual([
      ['mean', ['N', 3]],
      ['variance', ['N', 3]],
      ['next_memory', ['N', 4]],
    ]);
  });
});

describe.each(['hyper-maml', 'pearl-hyper-policy'])('the inner step of %s', (architecture) => {
  const policy = createPolicy({ ...hyper, architecture }, sizes);
  const options = { ...units, context, policy, parameters: parametersOf(policy.specs, 6) };
  const files = exportPolicy(options);
  const stepCount = 9;
  const steps = stepsOf(8, stepCount);
  const coefficient = Float32Array.from({ length: stepCount }, (_, n) => Math.sin(n) / stepCount);

  function run() {
    if (files.kind !== 'hyper') throw new Error('expected a hyper policy');
    const primary = openSession(files.primary.bytes, { threadCount: 1 });
    const weights = primary.run({ context: floatTensor(Float32Array.of(1, 0, 1), [1, 3]) });
    primary.dispose();
    const { bytes } = exportStep(options, { stepSize: 0.5, discount: 0.9, lambda: 1 }, files);
    const step = openSession(bytes, { threadCount: 1 });
    const adapted = step.run({
      ...weights,
      observation: floatTensor(steps.observation, [stepCount, 4]),
      action: floatTensor(steps.action, [stepCount, 2]),
      coefficient: floatTensor(coefficient, [stepCount]),
    });
    step.dispose();
    return { weights, adapted };
  }

  /** The sum of coefficient x log-density, eagerly. */
  function objective(weights: TensorMap, moved: string, by: Float32Array): number {
    return tf.tidy(() => {
      const tensors = Object.fromEntries(
        Object.entries(weights).map(([name, { data, dims }]) => [
          name,
          tf.tensor(
            (data as Float32Array).map((value, i) => value + (name === moved ? by[i]! : 0)),
            [...dims],
          ),
        ]),
      );
      const { shift, scale } = units.observation;
      const states = tf.div(tf.sub(tf.tensor2d(steps.observation, [stepCount, 4]), shift), scale);
      const actions = tf.div(tf.sub(tf.tensor2d(steps.action, [stepCount, 2]), 0.75), 1.25);
      const layers = layersFrom(tensors);
      const output = splitOf(options).evaluate(tensorsOf(options.parameters), layers, states);
      return tf.sum(tf.mul(coefficient, logProbOf(policy, output, actions))).dataSync()[0]!;
    });
  }

  test('goes up the gradient of finite differences', () => {
    const { weights, adapted } = run();
    const random = createRandom(3);
    for (const [name, { data, dims }] of Object.entries(weights)) {
      expect(adapted[`adapted_${name}`]!.dims).toEqual(dims);
      const from = data as Float32Array;
      const to = adapted[`adapted_${name}`]!.data as Float32Array;
      const gradient = from.map((value, i) => (to[i]! - value) / 0.5);
      // Along the gradient, and along a random direction, each of length 0.002: kinks of the ReLU lie farther apart.
      const length = Math.hypot(...gradient);
      expect(length).toBeGreaterThan(1e-3);
      const other = Float32Array.from(gradient, () => random.normal());
      const otherLength = Math.hypot(...other);
      for (const direction of [
        gradient.map((value) => (0.002 * value) / length),
        other.map((value) => (0.002 * value) / otherLength),
      ]) {
        const difference =
          (objective(weights, name, direction) -
            objective(
              weights,
              name,
              direction.map((value) => -value),
            )) /
          2;
        const expected = direction.reduce((sum, value, i) => sum + value * gradient[i]!, 0);
        expect(Math.abs(difference - expected)).toBeLessThan(0.002 * 0.02 * length + 1e-6);
      }
    }
  });

  test('needs a stochastic hyper policy', () => {
    const plain = createPolicy({ architecture: 'context-maml', hiddenSizes: [4] }, sizes);
    const plainOptions = { ...units, context, policy: plain, parameters: parametersOf(plain.specs, 7) };
    expect(() => exportStep(plainOptions, { stepSize: 1, discount: 1, lambda: 1 }, exportPolicy(plainOptions))).toThrow(
      'export of an inner step: expected a stochastic hyper policy, got context-maml',
    );
  });
});

describe('published, and served', () => {
  const training = { config: {}, seed: 0, steps: 0, evaluations: [], sourceRevision: 'unknown' };
  const common = {
    algorithm: 'test',
    environment: 'none',
    rewardScale: 1,
    training,
    engine: createTracedEngine({ threadCount: 1 }),
  };
  const specsWith = (source: ContextSpec['source']) => ({
    observation: plainSpec('observation', 4),
    action,
    context: { ...plainSpec('context', 3), source },
  });

  function pearl(store: string): ModelToPublish {
    const policy = createPolicy({ ...hyper, architecture: 'pearl-hyper-policy' }, sizes);
    const critic = createCritic({ ...hyper, architecture: 'sa-hyper' }, { ...sizes, ensembleSize: 2 });
    return {
      ...common,
      store,
      model: 'pearl',
      specs: specsWith('latent'),
      policy: { ...units, policy, parameters: parametersOf(policy.specs, 1) },
      critic: { ...units, critic, parameters: parametersOf(critic.specs, 2) },
      encoder: encoderExport,
    };
  }

  const tensor = (values: Float32Array, columns: number) => ({ shape: [values.length / columns, columns], values });
  const experience = (seed: number, count: number) => {
    const { observation, action: taken, reward } = stepsOf(seed, count);
    return { observation: tensor(observation, 4), action: tensor(taken, 2), reward };
  };

  test('PEARL: actions and action-gradients by handle are those in its context', async () => {
    const store = await temporaryStore();
    await publishModel(pearl(store));
    const { client } = await startTestServer([], { store });
    const { contextHandle, posterior } = await client.adapt({ model: 'pearl', ...experience(1, 12), seed: 4 });
    const { observation, action: actions } = experience(2, 5);
    const asked = { model: 'pearl', observation };
    const [byHandle, byContext] = [{ contextHandle }, { context: posterior!.context }];
    expect((await client.act({ ...asked, ...byHandle })).action).toEqual(
      (await client.act({ ...asked, ...byContext })).action,
    );
    const gradients = await client.qGrad({ ...asked, action: actions, ...byHandle });
    const inContext = await client.qGrad({ ...asked, action: actions, ...byContext });
    expect([gradients.q, gradients.dqDa]).toEqual([inContext.q, inContext.dqDa]);
    const elsewhere = posterior!.context.values.map((value) => value + 1);
    expect((await client.qGrad({ ...asked, action: actions, context: elsewhere })).q).not.toEqual(gradients.q);
  });

  test('MAML: a step changes the actions', async () => {
    const store = await temporaryStore();
    const policy = createPolicy({ ...hyper, architecture: 'hyper-maml' }, sizes);
    await publishModel({
      ...common,
      store,
      model: 'maml',
      specs: specsWith('oracle'),
      policy: { ...units, context, policy, parameters: parametersOf(policy.specs, 1) },
      critic: null,
      step: { stepSize: 0.1, discount: 0.95, lambda: 1 },
    });
    const { client } = await startTestServer([], { store });
    const { contextHandle, weights } = await client.adapt({
      model: 'maml',
      ...experience(3, 30),
      episodeLengths: [20, 10],
      context: [1, 0, 1],
    });
    expect(weights!.stepNorm).toBeGreaterThan(1e-3);
    const asked = { model: 'maml', observation: experience(4, 5).observation };
    const before = await client.act({ ...asked, context: [1, 0, 1] });
    expect((await client.act({ ...asked, contextHandle })).action).not.toEqual(before.action);
  });

  test('an encoder of other sizes than the specs is refused', async () => {
    const store = await temporaryStore();
    const other = createEncoder(
      { architecture: 'pearl-encoder', hiddenSizes: [4] },
      { transitionSize: transitionSize + 1, latentSize: 3 },
    );
    const options = {
      ...pearl(store),
      encoder: { ...encoderExport, encoder: other, parameters: parametersOf(other.specs, 1) },
    };
    await expect(publishModel(options)).rejects.toThrow(
      'publish "pearl" encoder: expected transition 7, latent 3, got transition 8, latent 3',
    );
  });
});

test('sizes of the generated weights are those of the layers', () => {
  const policy = createPolicy({ ...hyper, architecture: 'hyper-maml' }, sizes);
  const files = exportPolicy({ ...units, context, policy, parameters: parametersOf(policy.specs, 1) });
  if (files.kind !== 'hyper') throw new Error('expected a hyper policy');
  const { graph } = exportStep(
    { ...units, context, policy, parameters: parametersOf(policy.specs, 1) },
    { stepSize: 0.1, discount: 1, lambda: 1 },
    files,
  );
  const count = graph.outputs.reduce((sum, { shape }) => sum + sizeOf(shape as number[]), 0);
  expect(count).toBe(policy.hypernetwork!.generatedCount);
});
