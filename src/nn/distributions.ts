/**
 * Diagonal Gaussians and Gaussians squashed by tanh, as pure functions. The last dimension holds the action's values and is
 * summed over; A is its size. Noise is an argument.
 */

import * as tf from '@tensorflow/tfjs-core';

export type Gaussian = {
  readonly mean: tf.Tensor; // [..., A]
  readonly logStd: tf.Tensor; // [..., A], or what broadcasts to it
};

const halfLogTwoPi = 0.5 * Math.log(2 * Math.PI);

/** mean + std * noise. */
export const gaussianSample = ({ mean, logStd }: Gaussian, noise: tf.Tensor): tf.Tensor =>
  tf.add(mean, tf.mul(tf.exp(logStd), noise));

/** log N(x; mean, std^2), [...]. */
export const gaussianLogProb = ({ mean, logStd }: Gaussian, x: tf.Tensor): tf.Tensor =>
  noiseLogProb({ logStd }, tf.div(tf.sub(x, mean), tf.exp(logStd)));

/** The log-density of mean + std * noise, from the noise, [...]. */
export const noiseLogProb = ({ logStd }: Pick<Gaussian, 'logStd'>, noise: tf.Tensor): tf.Tensor =>
  tf.sum(tf.neg(tf.add(tf.mul(tf.square(noise), 0.5), tf.add(logStd, halfLogTwoPi))), -1);

/**
 * KL(p || q) = sum of log(std_q / std_p) + (std_p^2 + (mean_p - mean_q)^2) / (2 std_q^2) - 1/2, [...]. Also the divergence of
 * the two squashed by the same tanh, as that is a bijection.
 */
export function gaussianKl(p: Gaussian, q: Gaussian): tf.Tensor {
  const difference = tf.sub(p.mean, q.mean);
  const spread = tf.add(tf.exp(tf.mul(p.logStd, 2)), tf.square(difference));
  const ratio = tf.div(spread, tf.mul(tf.exp(tf.mul(q.logStd, 2)), 2));
  return tf.sum(tf.sub(tf.add(tf.sub(q.logStd, p.logStd), ratio), 0.5), -1);
}

/**
 * log |d tanh(u) / du| = sum of 2 (log 2 - u - softplus(-2u)), [...]: finite for any u, unlike log(1 - tanh(u)^2).
 *
 * Source: Haarnoja et al. 2018 (SAC), appendix C, in the stable form.
 */
export const tanhCorrection = (u: tf.Tensor): tf.Tensor =>
  tf.sum(tf.mul(tf.sub(tf.sub(Math.LN2, u), tf.softplus(tf.mul(u, -2))), 2), -1);

/** A squashed sample tanh(mean + std * noise) and its log-density, from one pass. */
export function tanhGaussianSample(
  distribution: Gaussian,
  noise: tf.Tensor,
): { action: tf.Tensor; logProb: tf.Tensor } {
  const u = gaussianSample(distribution, noise);
  return { action: tf.tanh(u), logProb: tf.sub(noiseLogProb(distribution, noise), tanhCorrection(u)) };
}

/** Actions closer to the bounds than this have no finite pre-image. */
const actionMargin = 1e-6;

/** Log-density of a squashed action in (-1, 1), by the inverse of tanh; actions are kept 1e-6 inside the bounds. */
export function tanhGaussianLogProb(distribution: Gaussian, action: tf.Tensor): tf.Tensor {
  const inside = tf.clipByValue(action, actionMargin - 1, 1 - actionMargin);
  const u = tf.mul(tf.log(tf.div(tf.add(1, inside), tf.sub(1, inside))), 0.5);
  return tf.sub(gaussianLogProb(distribution, u), tanhCorrection(u));
}

/**
 * The product of N Gaussian factors along an axis: precisions add up, means are weighted by them.
 *
 * Source: Rakelly et al. 2019 (PEARL), section 4.1.
 * @param mean and variance [..., N, Z]
 * @returns [..., Z]
 */
export function productOfGaussians(
  { mean, variance }: { readonly mean: tf.Tensor; readonly variance: tf.Tensor },
  axis: number,
): { mean: tf.Tensor; variance: tf.Tensor } {
  const precision = tf.reciprocal(variance);
  const total = tf.reciprocal(tf.sum(precision, axis));
  return { mean: tf.mul(total, tf.sum(tf.mul(mean, precision), axis)), variance: total };
}
