/** The residual block of the primary network: RB(x) = x + Lin(ReLU(Lin(ReLU x))), same width throughout. */

import * as tf from '@tensorflow/tfjs-core';
import type { LinearInitialisers } from './initialisers.ts';
import { linear, linearSpecs } from './linear.ts';
import { type ParameterSpecs, type Parameters, withPrefix } from './parameters.ts';

/** Layers `first` and `second`. */
export const resblockSpecs = (size: number, initialisers: LinearInitialisers): ParameterSpecs => ({
  ...withPrefix('first', linearSpecs(size, size, initialisers)),
  ...withPrefix('second', linearSpecs(size, size, initialisers)),
});

/** [B, N] -> [B, N]. */
export function resblock(parameters: Parameters, name: string, x: tf.Tensor2D): tf.Tensor2D {
  const hidden = linear(parameters, `${name}.first`, tf.relu(x));
  return tf.add(x, linear(parameters, `${name}.second`, tf.relu(hidden)));
}
