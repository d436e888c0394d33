/** The dynamic network: base variable x to the output, with generated layers. */

import * as tf from '@tensorflow/tfjs-core';
import type { GeneratedLayer } from './head.ts';

export type DynamicOptions = {
  /** Concatenate x to the input of every layer after the first. Source: Sinha et al. 2020 (D2RL); not in the paper. */
  readonly dense?: boolean | undefined;
};

/**
 * y = ReLU(g * (x W) + b) per layer, without ReLU after the last; the gain does not scale the bias.
 *
 * Leading dimensions (...) broadcast: [B] rows with a layer each, or [B, Q] for an ensemble. Layers of the rank of x serve all its
 * rows with one product: layers without leading dimensions ({@link sharedLayers}) those of x [B, I], K layers those of x [K, R, I].
 *
 * Source: Sarafian et al. 2021, section 3 and appendix.
 * @param layers weight [..., I, O], gain and bias [..., 1, O]; shared: weight [I, O] or [K, I, O], gain and bias [(K,) 1, O]
 * @param x [..., I]
 * @returns [..., O of the last layer]
 */
export function dynamic(layers: readonly GeneratedLayer[], x: tf.Tensor, { dense }: DynamicOptions = {}): tf.Tensor {
  const isShared = layers[0]!.weight.rank === x.rank;
  const input = isShared ? x : tf.expandDims(x, -2); // [..., 1, I]
  let h = input;
  layers.forEach((layer, i) => {
    if (i > 0 && dense === true) h = tf.concat([h, input], -1);
    h = tf.add(tf.mul(layer.gain, product(h, layer)), layer.bias); // [..., 1, O]
    if (i < layers.length - 1) h = tf.relu(h);
  });
  return isShared ? h : tf.squeeze(h, [-2]);
}

/** h W; a low-rank W = base + left diag(weight) right is never formed. */
function product(h: tf.Tensor, { weight, factors }: GeneratedLayer): tf.Tensor {
  if (factors === undefined) return tf.matMul(h, weight);
  const { base, left, right } = factors;
  return tf.add(tf.matMul(h, base), tf.matMul(tf.mul(tf.matMul(h, left), weight), right));
}

/** The layers of the only context, [1, ...], as layers for all rows. */
export const sharedLayers = (layers: readonly GeneratedLayer[]): GeneratedLayer[] =>
  layers.map(({ weight, gain, bias, factors }) => ({
    weight: tf.squeeze(weight, [0]),
    gain: tf.squeeze(gain, [0]),
    bias: tf.squeeze(bias, [0]),
    factors,
  }));
