/** Gradients of a loss with respect to named tensors, with the gradients that are right to second order. */

import * as tf from '@tensorflow/tfjs-core';
import { registerGradients } from './gradients/index.ts';

type Tensors = Readonly<Record<string, tf.Tensor>>;

registerGradients();

/** The loss and its gradient with respect to every named tensor, under the same names. */
export function valueAndGradients(
  loss: (variables: Tensors) => tf.Scalar,
  variables: Tensors,
): { value: tf.Scalar; gradients: Record<string, tf.Tensor> } {
  const names = Object.keys(variables);
  const named = (tensors: readonly tf.Tensor[]): Tensors =>
    Object.fromEntries(names.map((name, i) => [name, tensors[i]!]));
  const { value, grads } = tf.valueAndGrads((...tensors: tf.Tensor[]) => loss(named(tensors)))(
    Object.values(variables),
  );
  return { value: value as tf.Scalar, gradients: { ...named(grads) } };
}
