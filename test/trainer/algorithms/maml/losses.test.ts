/** MAML's losses refuse a rank or a size that would broadcast; their Hessian products are those of differentiating twice. */

import * as tf from '@tensorflow/tfjs-core';
import '../../../../src/nn/cpu-backend.ts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import { createPolicy } from '../../../../src/nn/policies/registry.ts';
import { mamlPolicies } from '../../../../trainer/algorithms/maml/config.ts';
import { hessianProduct } from '../../../../trainer/algorithms/maml/inner-step.ts';
import {
  divergenceProduct,
  evaluateSteps,
  meanKl,
  policyGradientLoss,
  policyGradientProduct,
  surrogateLoss,
} from '../../../../trainer/algorithms/maml/losses.ts';
import { createMamlNetworks, readTask } from '../../../../trainer/algorithms/maml/networks.ts';
import { smallConfig, specs } from './fixture.ts';

beforeEach(() => tf.engine().startScope());
afterEach(() => tf.engine().endScope());

const policy: Parameters<typeof policyGradientLoss>[0]['policy'] = {
  ...createPolicy({ architecture: 'maml' } as never, { observationSize: 1, actionSize: 1 }),
  distribution: 'gaussian',
  output: (_, observation) => ({ mean: observation, logStd: tf.zeros([1]) }),
};
const task = { policy, context: undefined };
const column = tf.tensor2d([[0], [0]]);
const column1 = column as unknown as tf.Tensor1D;
const old = { logProb: tf.zeros([2]) as tf.Tensor1D, mean: column, logStd: tf.zeros([1]) as tf.Tensor1D };
const steps = { observation: column, action: column, coefficient: tf.tensor1d([0.5, 0.5]) };

test('coefficients, old log-densities and weights of [N, 1] are refused; of [N] they are taken', () => {
  expect(() => policyGradientLoss(task, {}, { ...steps, coefficient: column1 })).toThrow(
    'MAML policy-gradient loss: expected coefficient [N], logProb [N], got coefficient [2, 1], logProb [2]',
  );
  expect(() => surrogateLoss(task, {}, steps, { ...old, logProb: column1 })).toThrow('oldLogProb [2, 1]');
  expect(() => meanKl(task, {}, { observation: column, weight: column1 }, old)).toThrow('weight [2, 1]');
  // Each action is the mean, of variance 1: a log-density of -log(2 pi) / 2.
  expect(policyGradientLoss(task, {}, steps).dataSync()[0]).toBeCloseTo(Math.log(2 * Math.PI) / 2, 6);
});

test('actions of other rows, an old policy of one row and a column of weights are refused', () => {
  const row = tf.zeros([1, 1]) as tf.Tensor2D;
  expect(() => evaluateSteps(task, {}, { ...steps, action: row })).toThrow(
    'MAML steps: expected observation [N, O], action [N, A], got observation [2, 1], action [1, 1]',
  );
  const weighted = { observation: column, weight: tf.tensor1d([0.5, 0.5]) };
  expect(() => meanKl(task, {}, weighted, { ...old, mean: row })).toThrow('oldMean [1, 1]');
  expect(meanKl(task, {}, weighted, old).dataSync()[0]).toBe(0);
  expect(() => divergenceProduct(task, {}, { observation: column, weight: column1 }, {})).toThrow('weight [2, 1]');
});

test('an absent step whose ratio is infinite changes no loss', () => {
  const far = tf.tensor2d([[0], [400]]);
  const absent = { observation: column, action: far, coefficient: tf.tensor1d([1, 0]) };
  const oldLogProb = evaluateSteps(task, {}, { ...absent, action: tf.tensor2d([[1], [500]]) }).logProb;
  const loss = surrogateLoss(task, {}, absent, { ...old, logProb: oldLogProb }).dataSync()[0];
  // log N(0) - log N(1) of variance 1.
  expect(loss).toBeCloseTo(-Math.exp(0.5), 5);
});

test.each(mamlPolicies)(
  'products with the Hessians of loss and divergence are those of differentiating them twice, %s',
  (name) => {
    const networks = createMamlNetworks(smallConfig(name), specs, null);
    const random = createRandom(3);
    const draw = (shape: readonly number[]) =>
      tf.tensor(
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => 0.5 * random.normal()),
        [...shape],
      );
    const { specs: parameterSpecs } = networks.policy;
    const shaped = Object.entries(parameterSpecs).map(([key, { shape }]) => [key, draw(shape)]);
    const parameters: Record<string, tf.Tensor> = Object.fromEntries(shaped);
    const direction = Object.fromEntries(Object.entries(parameters).map(([key, { shape }]) => [key, draw(shape)]));
    const task = readTask(networks, networks.contextSize > 0 ? draw([1, networks.contextSize]) : undefined);
    const observation = draw([7, 3]) as tf.Tensor2D;
    const coefficient = draw([7]) as tf.Tensor1D;
    const steps = { observation, action: draw([7, 2]) as tf.Tensor2D, coefficient };
    const weighted = { observation, weight: tf.square(coefficient) as tf.Tensor1D };
    const old = evaluateSteps(task, parameters, steps);
    expectEqual(
      policyGradientProduct(task, parameters, steps, direction),
      hessianProduct((at) => policyGradientLoss(task, at, steps), parameters, direction),
    );
    expectEqual(
      divergenceProduct(task, parameters, weighted, direction),
      hessianProduct((at) => meanKl(task, at, weighted, old), parameters, direction),
    );
  },
);

/** In every tensor, on the scale of its largest value. */
function expectEqual(actual: Record<string, tf.Tensor>, expected: Record<string, tf.Tensor>): void {
  expect(Object.keys(actual)).toEqual(Object.keys(expected));
  for (const [name, tensor] of Object.entries(expected)) {
    const scale = tf.max(tf.abs(tensor)).dataSync()[0]!;
    expect(scale, name).toBeGreaterThan(0);
    expect(tf.max(tf.abs(tf.sub(actual[name]!, tensor))).dataSync()[0]! / scale, name).toBeLessThan(1e-4);
  }
}
