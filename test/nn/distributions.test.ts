import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import '../../src/trace/differentiate.ts';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  gaussianKl,
  gaussianLogProb,
  gaussianSample,
  noiseLogProb,
  productOfGaussians,
  tanhCorrection,
  tanhGaussianLogProb,
  tanhGaussianSample,
} from '../../src/nn/distributions.ts';

beforeAll(() => tf.setBackend('cpu'));

const values = (tensor: tf.Tensor) => [...tensor.dataSync()];
const gaussian = { mean: tf.tensor2d([[0.3, -1]]), logStd: tf.tensor2d([[Math.log(0.5), Math.log(2)]]) };

/** Integral of f over [-w, w] by the midpoint rule. */
function integrate(f: (x: number) => number, width: number, steps = 4000): number {
  const h = (2 * width) / steps;
  let sum = 0;
  for (let i = 0; i < steps; i++) sum += f(-width + (i + 0.5) * h) * h;
  return sum;
}

const normalDensity = (x: number, mean: number, std: number) =>
  Math.exp(-0.5 * ((x - mean) / std) ** 2) / (std * Math.sqrt(2 * Math.PI));

describe('a Gaussian', () => {
  test('has the density of the formula, summed over values', () => {
    // At x = mean + std in both: each term is -1/2 - log std - log(2 pi)/2, and log 0.5 + log 2 = 0.
    const x = tf.tensor2d([[0.8, 1]]);
    expect(values(gaussianLogProb(gaussian, x))[0]).toBeCloseTo(-1 - Math.log(2 * Math.PI), 6);
    expect(values(noiseLogProb(gaussian, tf.ones([1, 2])))[0]).toBeCloseTo(-1 - Math.log(2 * Math.PI), 6);
  });

  test('samples mean + std * noise', () => {
    const [first, second] = values(gaussianSample(gaussian, tf.tensor2d([[2, -1]])));
    expect(first).toBeCloseTo(0.3 + 0.5 * 2, 6);
    expect(second).toBeCloseTo(-1 - 2, 6);
  });

  test('has the divergence that the integral of its density gives', () => {
    const [p, q] = [
      [0.3, 0.5],
      [-0.4, 0.9],
    ] as const;
    const kl = integrate((x) => normalDensity(x, ...p) * Math.log(normalDensity(x, ...p) / normalDensity(x, ...q)), 6);
    const one = ([mean, std]: readonly [number, number]) => ({
      mean: tf.tensor1d([mean]),
      logStd: tf.tensor1d([Math.log(std)]),
    });
    expect(values(gaussianKl(one(p), one(q)))[0]).toBeCloseTo(kl, 4);
    expect(values(gaussianKl(one(p), one(p)))[0]).toBeCloseTo(0, 6);
  });
});

describe('a Gaussian squashed by tanh', () => {
  test('integrates to 1 over (-1, 1)', () => {
    const count = 4000;
    const actions = Float32Array.from({ length: count }, (_, i) => -1 + (2 * (i + 0.5)) / count);
    const one = { mean: tf.tensor1d([0.4]), logStd: tf.tensor1d([Math.log(0.6)]) };
    const density = tf.exp(tanhGaussianLogProb(one, tf.tensor2d(actions, [count, 1])));
    expect(values(tf.sum(density))[0]! * (2 / count)).toBeCloseTo(1, 3);
  });

  test('a sample has the log-density that its action has', () => {
    const { action, logProb } = tanhGaussianSample(gaussian, tf.tensor2d([[0.7, 0.2]]));
    expect(values(action)[0]).toBeCloseTo(Math.tanh(0.3 + 0.35), 6);
    expect(values(logProb)[0]).toBeCloseTo(values(tanhGaussianLogProb(gaussian, action))[0]!, 4);
  });

  test('the correction is log(1 - tanh^2) and stays finite far out', () => {
    for (const u of [-2, -0.3, 0, 1.5]) {
      expect(values(tanhCorrection(tf.tensor1d([u])))[0]).toBeCloseTo(Math.log(1 - Math.tanh(u) ** 2), 5);
    }
    // log(1 - tanh(u)^2) -> 2 log 2 - 2 |u|.
    expect(values(tanhCorrection(tf.tensor1d([50])))[0]).toBeCloseTo(2 * Math.LN2 - 100, 4);
  });

  test.each([-1.2, 0, 0.4, 20])('the gradient of the correction at %d is -2 tanh', (u) => {
    const gradient = tf.grad((x: tf.Tensor) => tanhCorrection(x))(tf.tensor1d([u]));
    expect(values(gradient)[0]).toBeCloseTo(-2 * Math.tanh(u), 4);
  });

  test('actions on the bounds have a finite log-density', () => {
    expect(values(tanhGaussianLogProb(gaussian, tf.tensor2d([[1, -1]])))[0]).toSatisfy(Number.isFinite);
  });
});

test('a product of Gaussians adds precisions and weighs means by them', () => {
  // Precisions 1, 2 and 4: variance 1/7, mean (1 * 3 + 2 * 0 + 4 * 1)/7 = 1.
  const { mean, variance } = productOfGaussians(
    { mean: tf.tensor3d([[[3], [0], [1]]]), variance: tf.tensor3d([[[1], [0.5], [0.25]]]) },
    1,
  );
  expect(values(variance)[0]).toBeCloseTo(1 / 7, 6);
  expect(values(mean)[0]).toBeCloseTo(1, 6);
});
