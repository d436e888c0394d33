/** The dynamic network: base variable x to the output, with generated layers. */

import * as tf from '@tensorflow/tfjs-core';
import type { GeneratedLayer } from './head.ts';

/**
 * y = ReLU(g * (x W) + b) per layer, without ReLU after the last; the gain does not scale the bias.
 *
 * Leading dimensions (...) broadcast: [B] rows with a layer each, or [B, Q] for an ensemble.
 *
 * Source: Sarafian et al. 2021, section 3 and appendix.
 * @param layers weight [..., I, O], gain and bias [..., 1, O]
 * @param x [..., I]
 * @returns [..., O of the last layer]
 */
export function dynamic(layers: readonly GeneratedLayer[], x: tf.Tensor): tf.Tensor {
  let h = tf.expandDims(x, -2); // [..., 1, I]
  layers.forEach(({ weight, gain, bias }, i) => {
    h = tf.add(tf.mul(gain, tf.matMul(h, weight)), bias); // [..., 1, O]
    if (i < layers.length - 1) h = tf.relu(h);
  });
  return tf.squeeze(h, [-2]);
}
