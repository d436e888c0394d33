/** Layer normalisation over the last dimension. */

import * as tf from '@tensorflow/tfjs-core';
import { ones, zeros } from './initialisers.ts';
import type { ParameterSpecs, Parameters } from './parameters.ts';

const epsilon = 1e-5;

/** `scale` and `shift`, [N] each; 1 and 0 at the start. */
export const layerNormSpecs = (size: number): ParameterSpecs => ({
  scale: { shape: [size], initialise: ones },
  shift: { shape: [size], initialise: zeros },
});

/**
 * (x - mean) / sqrt(variance + 1e-5) * scale + shift per row, with the parameters `name.scale` and `name.shift`.
 *
 * Source: Ba et al. 2016.
 */
export function layerNorm(parameters: Parameters, name: string, x: tf.Tensor2D): tf.Tensor2D {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const deviation = tf.sqrt(tf.add(tf.mean(tf.square(centred), -1, true), epsilon));
  return tf.add(tf.mul(tf.div(centred, deviation), parameters[`${name}.scale`]!), parameters[`${name}.shift`]!);
}
