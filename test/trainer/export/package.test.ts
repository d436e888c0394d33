/** A published package computes what the training graphs compute, at every batch size. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { plainSpec } from '../../../src/contract/tensor-spec.ts';
import { memberQ } from '../../../src/nn/critics/critic.ts';
import { shapesOf, under } from '../../../src/nn/parameters.ts';
import { floatTensor, indexTensor, openSession, type TensorMap } from '../../../src/onnx/session.ts';
import { readPackage } from '../../../src/package/package.ts';
import type { Td3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { boundParameters } from '../../../trainer/engine/engine.ts';
import { publishModel } from '../../../trainer/export/package.ts';
import type { Batch } from '../../../trainer/replay/batch.ts';
import { criticConfigs, randomBatch, smallLearner, specs, tracedEngine } from '../algorithms/td3/fixture.ts';

const store = await mkdtemp(join(tmpdir(), 'hyperpolicy-export-'));
afterAll(() => rm(store, { recursive: true }));

async function publish(learner: Td3Learner, model: string, ownSpecs = specs) {
  const training = { config: {}, seed: 3, steps: 0, evaluations: [], sourceRevision: 'unknown' };
  const { directory } = await publishModel({
    ...learner.model(),
    algorithm: 'td3',
    store,
    model,
    environment: 'test',
    specs: ownSpecs,
    training,
    engine: tracedEngine,
  });
  return readPackage(directory);
}

const data = (tensors: TensorMap, name: string) => [...(tensors[name]!.data as Float32Array)];

/** q [rows, 2] and dq/da [rows, 2, 3] by the training engine from the live parameters; actions in environment units. */
function trainedCritic(
  { networks, critic }: Td3Learner,
  { size: rows, observation, action }: Batch,
): { q: Float32Array; dqDa: Float32Array } {
  const results = { q: new Float32Array(rows * 2), dqDa: new Float32Array(rows * 6) };
  const computation = tracedEngine.compile({
    name: 'trained-critic',
    inputs: {
      ...boundParameters('critic', critic.parameters, shapesOf(networks.critic.specs)),
      observation: { shape: [rows, 5], data: observation },
      action: { shape: [rows, 3], data: action },
    },
    outputs: results,
    fn: (inputs) => {
      const q = (i: number) => (actions: tf.Tensor) => {
        // The bounds are -0.5 and 2: centre 0.75, half 1.25.
        const normalised = tf.div(tf.sub(actions, 0.75), 1.25) as tf.Tensor2D;
        return memberQ(networks.critic, i, under('critic', inputs), inputs.observation as tf.Tensor2D, normalised);
      };
      return {
        q: tf.stack([q(0)(inputs.action!), q(1)(inputs.action!)], 1),
        dqDa: tf.stack(
          [0, 1].map((i) => tf.grad((actions: tf.Tensor) => tf.sum(q(i)(actions)))(inputs.action!)),
          1,
        ),
      };
    },
  });
  computation.run();
  computation.dispose();
  return results;
}

function expectClose(actual: readonly number[], expected: Float32Array): void {
  expect(actual.length).toBe(expected.length);
  const worst = expected.reduce(
    (most, value, i) => Math.max(most, Math.abs(actual[i]! - value) / (1 + Math.abs(value))),
    0,
  );
  expect(worst).toBeLessThan(1e-5);
}

describe.each(Object.entries(criticConfigs))('package with critic %s', (name, critic) => {
  const learner = smallLearner(critic);
  const random = createRandom(8);
  for (let i = 0; i < 20; i++) learner.learn(randomBatch(i), random);

  test('its graphs agree with the training graphs to 1e-5 at batch sizes 1, 2, 7 and 256', async () => {
    const { files, manifest } = await publish(learner, name);
    const open = (file: string) => openSession(files.get(file)!, { threadCount: 1 }, file);
    const policy = open('policy.onnx');
    const hyper = manifest.critic?.kind === 'hyper';
    const critics = hyper ? [open('critic.primary.onnx'), open('critic.dynamic.onnx')] : [open('critic.onnx')];
    for (const rows of [1, 2, 7, 256]) {
      const batch = randomBatch(rows, rows);
      const observation = floatTensor(batch.observation, [rows, 5]);
      const actions = data(policy.run({ observation }), 'action');
      const single = new Float32Array(3);
      for (let row = 0; row < rows; row++) {
        learner.act(batch.observation.subarray(row * 5, row * 5 + 5), single);
        single.forEach((value, i) => {
          expect(Math.abs(actions[row * 3 + i]! - value)).toBeLessThan(1e-5);
        });
      }
      const action = floatTensor(batch.action, [rows, 3]);
      const result = hyper
        ? critics[1]!.run({
            ...critics[0]!.run({ observation }),
            index: indexTensor([...Array(rows).keys()]),
            action,
          })
        : critics[0]!.run({ observation, action });
      expect(result.q!.dims).toEqual([rows, 2]);
      expect(result.dq_da!.dims).toEqual([rows, 2, 3]);
      const expected = trainedCritic(learner, batch);
      expectClose(data(result, 'q'), expected.q);
      expectClose(data(result, 'dq_da'), expected.dqDa);
      // dq_da against central differences of q, by single-action runs of the same graph.
      const q = (shifted: Float32Array) => {
        const feed = floatTensor(shifted, [rows, 3]);
        return hyper
          ? data(
              critics[1]!.run({
                ...critics[0]!.run({ observation }),
                index: indexTensor([...Array(rows).keys()]),
                action: feed,
              }),
              'q',
            )
          : data(critics[0]!.run({ observation, action: feed }), 'q');
      };
      const h = 1e-2;
      const gradient = data(result, 'dq_da');
      for (let dim = 0; dim < 3; dim++) {
        const shift = (by: number) => batch.action.map((value, i) => (i % 3 === dim ? value + by : value));
        const [above, below] = [q(shift(h)), q(shift(-h))];
        // ReLU kinks within h make single differences wrong; the median row is not at one.
        const errors = above
          .map((value, i) => Math.abs((value - below[i]!) / (2 * h) - gradient[i * 3 + dim]!))
          .sort((a, b) => a - b);
        expect(errors[Math.floor(errors.length / 2)]).toBeLessThan(2e-3);
      }
    }
    for (const session of [policy, ...critics]) session.dispose();
  });

  test('its probes replay', async () => {
    const { files, manifest } = await publish(learner, name);
    const probe = manifest.probes.find(({ target }) => target === 'policy')!;
    const input = probe.inputs.observation!;
    const session = openSession(files.get('policy.onnx')!, { threadCount: 1 });
    const actions = data(
      session.run({ observation: floatTensor(Float32Array.from(input.values), input.shape) }),
      'action',
    );
    probe.outputs.action!.values.forEach((value, i) => {
      expect(Math.abs(actions[i]! - value)).toBeLessThan(probe.tolerance);
    });
    session.dispose();
  });
});

describe('package with a hypernetwork critic', () => {
  const learner = smallLearner(criticConfigs['sa-hyper']!);

  test.each([1e12, 3.4028234663852886e38])(
    'bounds of ±%d say nothing of what is usual: probes keep near 0',
    async (most) => {
      const wide = { ...specs, observation: plainSpec('observation', 5, { low: -most, high: most }) };
      const { manifest } = await publish(learner, 'wide', wide);
      for (const { inputs } of manifest.probes) {
        expect(Math.max(...inputs.observation!.values.map(Math.abs))).toBeLessThan(10);
      }
    },
  );

  test('rows of one context equal rows that each name their own', async () => {
    const { files } = await publish(learner, 'contexts');
    const [primary, dynamic] = ['critic.primary.onnx', 'critic.dynamic.onnx'].map((file) =>
      openSession(files.get(file)!, { threadCount: 1 }),
    ) as [ReturnType<typeof openSession>, ReturnType<typeof openSession>];
    const batch = randomBatch(1, 4);
    const state = batch.observation.subarray(0, 5);
    const repeated = Float32Array.from({ length: 20 }, (_, i) => state[i % 5]!);
    const action = floatTensor(batch.action, [4, 3]);
    const shared = dynamic.run({
      ...primary.run({ observation: floatTensor(state.slice(), [1, 5]) }),
      index: indexTensor([0, 0, 0, 0]),
      action,
    });
    const own = dynamic.run({
      ...primary.run({ observation: floatTensor(repeated, [4, 5]) }),
      index: indexTensor([0, 1, 2, 3]),
      action,
    });
    data(shared, 'q').forEach((value, i) => {
      expect(Math.abs(value - data(own, 'q')[i]!)).toBeLessThan(1e-5);
    });
    primary.dispose();
    dynamic.dispose();
  });
});
