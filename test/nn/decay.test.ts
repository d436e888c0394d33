import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import '../../src/trace/differentiate.ts';
import { beforeAll, expect, test } from 'vitest';
import { headSpectralDecay, headWeightDecay } from '../../src/nn/hyper/decay.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { trace } from '../../src/trace/trace.ts';

beforeAll(() => tf.setBackend('cpu'));

/** Singular values 3 and 1; and a part that is not a head's. */
const parameters = (matrix: tf.Tensor) => ({
  'q0.head0.weight.weight': matrix,
  'q1.head1.gain.weight': tf.tensor2d([[2]]),
  'q0.head0.weight.bias': tf.tensor1d([100, 100]),
  'q0.primary.stage0.input.weight': tf.tensor2d([[100]]),
});
const matrix = [0, 3, 1, 0];

test('weight decay is half the sum of squares of the maps of the heads', () => {
  // (9 + 1 + 4) / 2.
  expect(headWeightDecay(parameters(tf.tensor2d(matrix, [2, 2]))).dataSync()[0]).toBeCloseTo(7, 5);
});

test('spectral decay is half the sum of squared largest singular values, with their gradient', () => {
  // (9 + 4) / 2; d(s^2 / 2)/dA = s u v^T, which holds the 3 alone.
  const decay = (a: tf.Tensor) => headSpectralDecay(parameters(a));
  const a = tf.tensor2d(matrix, [2, 2]);
  expect(decay(a).dataSync()[0]).toBeCloseTo(6.5, 4);
  const gradient = [...tf.grad(decay)(a).dataSync()];
  [0, 3, 0, 0].forEach((value, i) => {
    expect(gradient[i]).toBeCloseTo(value, 2);
  });
});

test('both are traced as they are eager', () => {
  const graph = trace('decay', { a: { shape: [2, 2] } }, ({ a }) => ({
    weight: headWeightDecay(parameters(a!)),
    spectral: headSpectralDecay(parameters(a!)),
    gradient: tf.grad((x: tf.Tensor) => headSpectralDecay(parameters(x)))(a!),
  }));
  const session = compile(graph, { threadCount: 1 });
  const result = session.run({ a: floatTensor(Float32Array.from(matrix), [2, 2]) });
  expect((result.weight!.data as Float32Array)[0]).toBeCloseTo(7, 5);
  expect((result.spectral!.data as Float32Array)[0]).toBeCloseTo(6.5, 4);
  expect((result.gradient!.data as Float32Array)[1]).toBeCloseTo(3, 2);
  session.dispose();
});
