/** Steps on tensors against the kernels: the same operations, each rounded once. */

import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { adamDefaults, adamScalars, createAdam } from '../../src/optim/adam.ts';
import { createArena } from '../../src/optim/arena.ts';
import { polyak } from '../../src/optim/polyak.ts';
import { type AdamTensors, adamStep, polyakStep } from '../../src/optim/tensor-steps.ts';
import { fill } from './reference.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

/** Within one unit in the last place. */
function expectSame(actual: tf.Tensor, expected: Float32Array): void {
  const values = actual.dataSync();
  expected.forEach((value, i) => {
    expect(Math.abs(values[i]! - value)).toBeLessThanOrEqual(Math.abs(value) * 2 ** -23);
  });
}

test('Adam and Polyak averaging on tensors are those of the kernels', () => {
  const length = 50;
  const arena = createArena(6 * 64);
  const [parameters, gradients, target] = [arena.allocate(length), arena.allocate(length), arena.allocate(length)];
  const random = createRandom(1);
  fill(parameters, () => random.normal());
  fill(target, () => random.normal());
  const learningRate = 3e-4;
  const adam = createAdam({ arena, parameters, gradients, learningRate });
  const zeros = tf.zeros([length]);
  let tensors: AdamTensors = { parameter: tf.tensor1d(parameters.slice()), moment1: zeros, moment2: zeros };
  let copy: tf.Tensor = tf.tensor1d(target.slice());
  for (let step = 1; step <= 20; step++) {
    fill(gradients, () => random.normal() * 10 ** (random.integer(9) - 6));
    adam.step();
    polyak({ arena, target, source: parameters, tau: 0.005 });
    const { stepSize, rescale2 } = adamScalars(step, { ...adamDefaults, learningRate });
    tensors = adamStep(tensors, tf.tensor1d(gradients.slice()), {
      stepSize: tf.scalar(stepSize),
      rescale2: tf.scalar(rescale2),
    });
    copy = polyakStep(copy, tensors.parameter, 0.005);
  }
  expectSame(tensors.moment1, adam.moment1);
  expectSame(tensors.moment2, adam.moment2);
  expectSame(tensors.parameter, parameters);
  expectSame(copy, target);
  expect(parameters.some((value) => value !== 0)).toBe(true);
});
