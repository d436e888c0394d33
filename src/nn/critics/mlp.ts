/** Critics of fully connected layers: plain, and D2RL, which sees its input again at every layer. */

import * as tf from '@tensorflow/tfjs-core';
import { defaultLinear } from '../initialisers.ts';
import { linear, linearSpecs } from '../linear.ts';
import { mlp, mlpSpecs } from '../mlp.ts';
import { withPrefix } from '../parameters.ts';
import { type CriticSizes, concatInputs, type QFunction } from './critic.ts';

/** Values of [observation, action, context]. */
export const criticInputSize = ({ observationSize, actionSize, contextSize = 0 }: CriticSizes): number =>
  observationSize + actionSize + contextSize;

/** [s, a] -> hidden layers with ReLU -> 1. Source: Fujimoto et al. 2018 (TD3). */
export const mlpQ = (architecture: string, sizes: CriticSizes, hiddenSizes: readonly number[]): QFunction => ({
  architecture,
  specs: mlpSpecs([criticInputSize(sizes), ...hiddenSizes, 1]),
  q: (parameters, observation, action, context) =>
    tf.squeeze(mlp(parameters, concatInputs(observation, action, context) as tf.Tensor2D), [1]),
  qOfStack(parameters, observation, action, context) {
    // The first product broadcasts over the members.
    const x = tf.expandDims(concatInputs(observation, action, context), 0) as tf.Tensor3D; // [1, B, I]
    return tf.squeeze(mlp(parameters, x), [2]);
  },
});

const d2rlLayerCount = 4;
const d2rlWidth = 256;

/**
 * Four layers of 256; [s, a] is concatenated again to the input of layers 2 to 4, not to that of the output layer.
 *
 * Source: Sinha et al. 2020 (D2RL), as in Sarafian et al. 2021, appendix D.4.
 */
export function d2rlQ(sizes: CriticSizes): QFunction {
  const inputSize = criticInputSize(sizes);
  const layers = Array.from({ length: d2rlLayerCount }, (_, i) => {
    const size = i === 0 ? inputSize : d2rlWidth + inputSize;
    return withPrefix(`layer${i}`, linearSpecs(size, d2rlWidth, defaultLinear(size)));
  });
  const output = withPrefix('output', linearSpecs(d2rlWidth, 1, defaultLinear(d2rlWidth)));
  return {
    architecture: 'q-d2rl',
    specs: Object.assign({}, ...layers, output),
    q(parameters, observation, action, context) {
      const input = concatInputs(observation, action, context) as tf.Tensor2D;
      let h = tf.relu(linear(parameters, 'layer0', input));
      for (let i = 1; i < d2rlLayerCount; i++) {
        h = tf.relu(linear(parameters, `layer${i}`, tf.concat([h, input], 1) as tf.Tensor2D));
      }
      return tf.squeeze(linear(parameters, 'output', h), [1]);
    },
  };
}
