/** PEARL's losses: what they say of wrong ranks, the next observation in the context, and a hyper policy per task against per row. */

import '../../../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import { plainSpec } from '../../../../src/contract/tensor-spec.ts';
import { ensembleQ, memberQ } from '../../../../src/nn/critics/critic.ts';
import { drawParameters, type ParameterSpecs, shapesOf } from '../../../../src/nn/parameters.ts';
import { policyOutput } from '../../../../src/nn/policies/policy.ts';
import { registerGradients } from '../../../../src/trace/gradients/index.ts';
import { type PearlConfig, pearlDefaults } from '../../../../trainer/algorithms/pearl/config.ts';
import {
  divergence,
  drawActions,
  drawLatent,
  policyTerms,
  posteriorOf,
  qLosses,
  qTarget,
  smallerQ,
  type Transitions,
} from '../../../../trainer/algorithms/pearl/losses.ts';
import {
  createPearlNetworks,
  latentRows,
  qAt,
  taskPolicyOutput,
  valueAt,
} from '../../../../trainer/algorithms/pearl/networks.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
  registerGradients();
});

const config: PearlConfig = {
  ...pearlDefaults('hyper'),
  hyper: { trunkSizes: [8, 12], dynamicHiddenSizes: [6] },
  encoder: { architecture: 'pearl-encoder', hiddenSizes: [8] },
  latentSize: 2,
};
const specs = {
  observation: plainSpec('observation', 3),
  action: plainSpec('action', 2, { low: -1, high: 1 }),
  context: null,
};
const networks = createPearlNetworks(config, specs);

function drawn(parameterSpecs: ParameterSpecs): Record<string, tf.Tensor> {
  const shapes = shapesOf(parameterSpecs);
  const views = drawParameters(parameterSpecs, createRandom(3));
  return Object.fromEntries(Object.entries(views).map(([name, data]) => [name, tf.tensor(data, [...shapes[name]!])]));
}

function normal(seed: number, shape: number[]): tf.Tensor {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  createRandom(seed).fillNormal(values);
  return tf.tensor(values, shape);
}

const rows: Transitions = {
  observation: tf.zeros([8, 3]),
  action: tf.zeros([8, 2]),
  reward: tf.zeros([8]),
  nextObservation: tf.zeros([8, 3]),
  terminated: tf.zeros([8]),
};
const latent = normal(1, [2, 2]) as tf.Tensor2D;

test('tensors of other ranks are refused before anything is computed', () => {
  const reward = tf.zeros([8, 1]) as unknown as tf.Tensor1D;
  expect(() => qTarget(networks, {}, { ...rows, reward }, latent, config)).toThrow(
    'PEARL Q target: expected nextObservation [R, O], reward [R], terminated [R], latent [N, Z], ' +
      'got nextObservation [8, 3], reward [8, 1], terminated [8], latent [2, 2]',
  );
  expect(() => drawActions(networks, {}, rows.observation, latent, tf.zeros([8, 3]))).toThrow(
    'PEARL actions: expected observation [R, O], noise [R, 2], latent [N, Z], got observation [8, 3], noise [8, 3], latent [2, 2]',
  );
});

test('one action for all rows, and a posterior or outputs of one row, are refused', () => {
  const row = tf.zeros([1, 2]) as tf.Tensor2D;
  const target = tf.zeros([8]) as tf.Tensor1D;
  expect(() => qLosses(networks, {}, { ...rows, action: row }, latent, target)).toThrow(
    'PEARL Q losses: expected observation [R, O], action [R, A], target [R], latent [N, Z], ' +
      'got observation [8, 3], action [1, 2], target [8], latent [2, 2]',
  );
  expect(() => smallerQ(networks, {}, rows.observation, row, latent)).toThrow('PEARL Q: expected');
  expect(() => divergence({ mean: latent, variance: row })).toThrow('variance [1, 2]');
  expect(() => drawLatent({ mean: latent, variance: row }, latent)).toThrow('variance [1, 2]');
  const draw = { mean: row, logStd: rows.action, action: rows.action, logProb: target };
  expect(() => policyTerms(draw, target, config)).toThrow('PEARL policy loss: expected mean [R, A]');
});

test('rows that cannot be of as many for each task are refused', () => {
  expect(() => latentRows(latent, 7)).toThrow('PEARL batch: expected as many rows of each of 2 tasks, got 7 rows');
});

test('a hyper policy generates one network per task, and means the same as one per row', () => {
  const parameters = drawn(networks.policy.specs);
  const observation = normal(2, [8, 3]) as tf.Tensor2D;
  const perTask = taskPolicyOutput(networks.policy, parameters, observation, latent);
  const perRow = policyOutput(networks.policy, parameters, observation, latentRows(latent, 8));
  for (const part of ['mean', 'logStd'] as const) {
    const [actual, expected] = [perTask[part]!.dataSync(), perRow[part]!.dataSync()];
    expect(actual.length).toBe(16);
    expected.forEach((value, i) => {
      expect(actual[i]).toBeCloseTo(value, 5);
    });
  }
  // Rows 0..3 belong to task 0: another z of task 1 leaves them.
  const other = tf.concat([tf.slice(latent, [0, 0], [1, 2]), normal(5, [1, 2])]) as tf.Tensor2D;
  const changed = taskPolicyOutput(networks.policy, parameters, observation, other).mean.dataSync();
  const before = perTask.mean.dataSync();
  expect([...changed.slice(0, 8)]).toEqual([...before.slice(0, 8)]);
  expect([...changed.slice(8)]).not.toEqual([...before.slice(8)]);
});

test('hyper critics with one z per task mean the same as with one per row, and so do the slopes in z and action', () => {
  const [q, v] = [drawn(networks.q.specs), drawn(networks.value.specs)];
  const [observation, action] = [normal(2, [8, 3]), normal(3, [8, 2])] as [tf.Tensor2D, tf.Tensor2D];
  const weight = normal(4, [8, 1]);
  const perTask = (a: tf.Tensor, z: tf.Tensor) => [
    qAt(networks, q, observation, a as tf.Tensor2D, z as tf.Tensor2D),
    tf.expandDims(valueAt(networks, v, observation, z as tf.Tensor2D), 1),
  ];
  const perRow = (a: tf.Tensor, z: tf.Tensor) => {
    const rows = latentRows(z as tf.Tensor2D, 8);
    return [
      ensembleQ(networks.q, q, observation, a as tf.Tensor2D, rows),
      tf.expandDims(memberQ(networks.value, 0, v, observation, rows), 1),
    ];
  };
  const figures = (at: typeof perTask) => [
    ...at(action, latent),
    ...tf.grads((a: tf.Tensor, z: tf.Tensor) => tf.sum(tf.mul(tf.concat(at(a, z), 1), weight)))([action, latent]),
  ];
  const expected = figures(perRow).map((tensor) => [...tensor.dataSync()]);
  expect(expected.map(({ length }) => length)).toEqual([16, 8, 16, 4]);
  figures(perTask).forEach((tensor, i) => {
    tensor.dataSync().forEach((value, j) => {
      expect(value).toBeCloseTo(expected[i]![j]!, 5);
    });
  });
  expect(networks.q.member.qOfGroups).toBeDefined();
  expect(() => qAt(networks, q, normal(2, [7, 3]) as tf.Tensor2D, normal(3, [7, 2]) as tf.Tensor2D, latent)).toThrow(
    'PEARL batch: expected as many rows of each of 2 tasks, got 7 rows',
  );
});

test('an encoder that takes the next observation needs it, and sees it', () => {
  const wider = createPearlNetworks({ ...config, encodesNextObservation: true }, specs);
  const parameters = drawn(wider.encoder.specs);
  const context = {
    observation: normal(6, [2, 4, 3]) as tf.Tensor3D,
    action: normal(7, [2, 4, 2]) as tf.Tensor3D,
    reward: normal(8, [2, 4]) as tf.Tensor2D,
  };
  expect(() => posteriorOf(wider, parameters, context)).toThrow(
    'encoder pearl-encoder: expected transitions [N, T, 9], got [2, 4, 6]',
  );
  const means = [9, 10].map((seed) => {
    const nextObservation = normal(seed, [2, 4, 3]) as tf.Tensor3D;
    return [...posteriorOf(wider, parameters, { ...context, nextObservation }).mean.dataSync()];
  });
  expect(means[0]).not.toEqual(means[1]);
});
