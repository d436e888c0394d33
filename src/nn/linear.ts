/** The linear layer: y = x W + b. */

import * as tf from '@tensorflow/tfjs-core';
import type { LinearInitialisers } from './initialisers.ts';
import type { ParameterSpecs, Parameters } from './parameters.ts';

/** `weight` [I, O] and `bias` [O]. */
export const linearSpecs = (
  inputSize: number,
  outputSize: number,
  { weight, bias }: LinearInitialisers,
): ParameterSpecs => ({
  weight: { shape: [inputSize, outputSize], initialise: weight },
  bias: { shape: [outputSize], initialise: bias },
});

/** Gives what {@link linear} gives, or stands in for it. */
export type LinearMap = typeof linear;

/**
 * [B, I] -> [B, O], with the parameters `name.weight` and `name.bias`. Several layers at once are [n, B, I] -> [n, B, O], with a
 * `weight` [n, I, O] and a `bias` [n, 1, O].
 */
export const linear = <T extends tf.Tensor2D | tf.Tensor3D>(parameters: Parameters, name: string, x: T): T =>
  tf.add(tf.matMul(x, parameters[`${name}.weight`] as T), parameters[`${name}.bias`]!) as T;
