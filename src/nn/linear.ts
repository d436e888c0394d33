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

/** [B, I] -> [B, O], with the parameters `name.weight` and `name.bias`. */
export const linear = (parameters: Parameters, name: string, x: tf.Tensor2D): tf.Tensor2D =>
  tf.add(
    tf.matMul(x, parameters[`${name}.weight`] as tf.Tensor2D),
    parameters[`${name}.bias`] as tf.Tensor1D,
  ) as tf.Tensor2D;
