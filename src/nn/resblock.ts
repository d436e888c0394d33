/** The residual block of the primary network: RB(x) = x + Lin(ReLU(Lin(ReLU x))), same width throughout. */

import * as tf from '@tensorflow/tfjs-core';
import type { LinearInitialisers } from './initialisers.ts';
import { layerNorm, layerNormSpecs } from './layer-norm.ts';
import { type LinearMap, linear, linearSpecs } from './linear.ts';
import { type ParameterSpecs, type Parameters, withPrefix } from './parameters.ts';

export type ResblockOptions = {
  readonly initialisers: LinearInitialisers;
  /** Normalise what enters the branch: x + Lin(ReLU(Lin(ReLU(LN x)))). Source: Lee et al. 2024 (SimBa). */
  readonly layerNorm?: boolean | undefined;
};

/** Layers `first` and `second`, and `norm` where there is one. */
export const resblockSpecs = (
  size: number,
  { initialisers, layerNorm: normalised }: ResblockOptions,
): ParameterSpecs => ({
  ...(normalised === true && withPrefix('norm', layerNormSpecs(size))),
  ...withPrefix('first', linearSpecs(size, size, initialisers)),
  ...withPrefix('second', linearSpecs(size, size, initialisers)),
});

/** [B, N] -> [B, N]. */
export function resblock(parameters: Parameters, name: string, x: tf.Tensor2D, map: LinearMap = linear): tf.Tensor2D {
  const normalised = `${name}.norm.scale` in parameters ? layerNorm(parameters, `${name}.norm`, x) : x;
  const hidden = map(parameters, `${name}.first`, tf.relu(normalised));
  return tf.add(x, map(parameters, `${name}.second`, tf.relu(hidden)));
}
