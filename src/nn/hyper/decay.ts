/** Penalties on the linear maps of a hypernetwork's heads, to add to a loss; not in the papers. */

import * as tf from '@tensorflow/tfjs-core';
import type { Parameters } from '../parameters.ts';

/** The matrices A of all heads, in one network or in an ensemble. */
const headMatrices = (parameters: Parameters): tf.Tensor2D[] =>
  Object.entries(parameters).flatMap(([name, tensor]) =>
    /(^|\.)head\d+\.(weight|gain|bias)\.weight$/.test(name) ? [tensor as tf.Tensor2D] : [],
  );

const sumOf = (terms: readonly tf.Tensor[]): tf.Scalar =>
  terms.reduce((sum, term) => tf.add(sum, term), tf.scalar(0)) as tf.Scalar;

/** Weight decay: half the sum of squares of every A. */
export const headWeightDecay = (parameters: Parameters): tf.Scalar =>
  sumOf(headMatrices(parameters).map((matrix) => tf.mul(tf.sum(tf.square(matrix)), 0.5)));

const powerIterations = 8;

/**
 * Spectral decay: half the sum of squares of the largest singular value of every A, by power iteration from a fixed vector; no
 * gradient passes through the iteration, as at the singular vectors the value is stationary in them.
 *
 * Source: Yoshida and Miyato 2017.
 */
export const headSpectralDecay = (parameters: Parameters): tf.Scalar =>
  sumOf(headMatrices(parameters).map((matrix) => tf.mul(tf.square(largestSingularValue(matrix)), 0.5)));

function largestSingularValue(matrix: tf.Tensor2D): tf.Tensor {
  const detached = detach(matrix);
  const unit = (vector: tf.Tensor2D) =>
    tf.div(vector, tf.add(tf.sqrt(tf.sum(tf.square(vector))), 1e-12)) as tf.Tensor2D;
  const start = Float32Array.from({ length: matrix.shape[1] }, (_, i) => 1 + 0.5 * Math.sin(i + 1));
  let right = unit(tf.tensor2d(start, [matrix.shape[1], 1]));
  let left = unit(tf.matMul(detached, right));
  for (let i = 0; i < powerIterations; i++) {
    right = unit(tf.matMul(detached, left, true));
    left = unit(tf.matMul(detached, right));
  }
  return tf.sum(tf.mul(left, tf.matMul(matrix, right)));
}

/** The same values without a gradient. */
const detach = (x: tf.Tensor2D): tf.Tensor2D =>
  tf.customGrad((value) => ({
    value: tf.add(value as tf.Tensor, 0),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }))(x) as tf.Tensor2D;
