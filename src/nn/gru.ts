/** The gated recurrent unit, unrolled over the steps of its input. */

import * as tf from '@tensorflow/tfjs-core';
import { uniform } from './initialisers.ts';
import { linear, linearSpecs } from './linear.ts';
import { type ParameterSpecs, type Parameters, withPrefix } from './parameters.ts';

/** Linear maps `input` and `state` to three gates of H values: reset, update, candidate. U(+-1/sqrt(H)), as PyTorch. */
export function gruSpecs(inputSize: number, hiddenSize: number): ParameterSpecs {
  const initialiser = uniform(1 / Math.sqrt(hiddenSize));
  const gates = (size: number) => linearSpecs(size, 3 * hiddenSize, { weight: initialiser, bias: initialiser });
  return { ...withPrefix('input', gates(inputSize)), ...withPrefix('state', gates(hiddenSize)) };
}

/**
 * h' = (1 - z) n + z h with r = sigmoid(x W_r + h U_r), z = sigmoid(x W_z + h U_z), n = tanh(x W_n + r (h U_n)); biases within
 * each product; h = 0 before the first step.
 *
 * Source: Cho et al. 2014, with the reset gate behind the product as in cuDNN and PyTorch.
 * @param x [N, T, I]
 * @returns the last h, [N, H]
 */
export function gru(parameters: Parameters, x: tf.Tensor3D): tf.Tensor2D {
  const [count, stepCount, inputSize] = x.shape;
  const hiddenSize = parameters['state.weight']!.shape[0]!;
  // The inputs of all steps in one product.
  const projected = linear(parameters, 'input', tf.reshape(x, [count * stepCount, inputSize]) as tf.Tensor2D);
  const steps = tf.unstack(tf.reshape(projected, [count, stepCount, 3 * hiddenSize]), 1) as tf.Tensor2D[]; // T of [N, 3H]
  let h = tf.zeros([count, hiddenSize]) as tf.Tensor2D;
  for (const step of steps) h = nextState(parameters, step, h);
  return h;
}

/**
 * One step: inputs [N, I] and the state before, [N, H], to the state after.
 * Equal to {@link gru} where the states before it come from there.
 */
export const gruStep = (parameters: Parameters, x: tf.Tensor2D, state: tf.Tensor2D): tf.Tensor2D =>
  nextState(parameters, linear(parameters, 'input', x) as tf.Tensor2D, state);

/** @param projected the step's inputs behind their product, [N, 3H] */
function nextState(parameters: Parameters, projected: tf.Tensor2D, h: tf.Tensor2D): tf.Tensor2D {
  const split = (x: tf.Tensor) => tf.split(x, 3, 1) as [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D];
  const [inputReset, inputUpdate, inputCandidate] = split(projected);
  const [stateReset, stateUpdate, stateCandidate] = split(linear(parameters, 'state', h));
  const reset = tf.sigmoid(tf.add(inputReset, stateReset));
  const update = tf.sigmoid(tf.add(inputUpdate, stateUpdate));
  const candidate = tf.tanh(tf.add(inputCandidate, tf.mul(reset, stateCandidate)));
  return tf.add(candidate, tf.mul(update, tf.sub(h, candidate)));
}
