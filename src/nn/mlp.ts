/** A multilayer perceptron with ReLU between layers and nothing after the last. */

import * as tf from '@tensorflow/tfjs-core';
import { defaultLinear } from './initialisers.ts';
import { linear, linearSpecs } from './linear.ts';
import { type ParameterSpecs, type Parameters, withPrefix } from './parameters.ts';

/** Layers `layer0 ... layerN` between consecutive `sizes`, initialised as PyTorch does by default. */
export const mlpSpecs = (sizes: readonly number[]): ParameterSpecs =>
  Object.assign(
    {},
    ...sizes.slice(1).map((size, i) => withPrefix(`layer${i}`, linearSpecs(sizes[i]!, size, defaultLinear(sizes[i]!)))),
  );

/** [B, sizes[0]] -> [B, sizes[N]], or several at once as in {@link linear}. */
export function mlp<T extends tf.Tensor2D | tf.Tensor3D>(parameters: Parameters, x: T): T {
  let h = linear(parameters, 'layer0', x);
  for (let i = 1; `layer${i}.weight` in parameters; i++) h = linear(parameters, `layer${i}`, tf.relu(h));
  return h;
}
