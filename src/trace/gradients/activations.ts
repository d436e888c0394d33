/** Gradients of activations, the softmax family among them. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientTable, keepWhere, ofX, sumTo, zero } from './gradient.ts';

/** The sigmoid's slope at k x. It is even, so of exp(-|k x|), which cannot overflow. */
function sigmoidSlope(x: tf.Tensor, k = 1): tf.Tensor {
  const e = tf.exp(tf.mul(-k, tf.abs(x)));
  return tf.div(e, tf.square(tf.add(1, e)));
}

export const activationGradients: GradientTable = {
  [tf.Elu]: ofX((dy, x) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, tf.exp(tf.minimum(x, 0))))),
  [tf.LeakyRelu]: ofX((dy, x, { alpha }) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, alpha as number))),
  // A product with the mask: cheaper than a selection, and the same for finite dy.
  [tf.Relu]: ofX((dy, x) => tf.mul(dy, tf.cast(tf.greater(x, 0), 'float32'))),
  [tf.Relu6]: ofX((dy, x) => keepWhere(tf.logicalAnd(tf.greater(x, 0), tf.less(x, 6)), dy)),
  // These three by exp: the runtime's sigmoid and tanh are exact to 1e-7 of 1, so 1 - y and 1 - y^2 lose all digits where y saturates.
  [tf.Sigmoid]: ofX((dy, x) => tf.mul(dy, sigmoidSlope(x))),
  [tf.Softplus]: ofX((dy, x) => tf.mul(dy, tf.exp(tf.sub(x, tf.softplus(x))))),
  [tf.Tanh]: ofX((dy, x) => tf.mul(dy, tf.mul(4, sigmoidSlope(x, 2)))),
  [tf.Prelu]: {
    inputs: ['x', 'alpha'],
    gradient: (dy, [x, alpha]) => [
      () => tf.where(tf.greater(x!, 0), dy, tf.mul(dy, alpha!)),
      () => sumTo(tf.where(tf.greater(x!, 0), tf.zerosLike(dy), tf.mul(dy, x!)), alpha!.shape),
    ],
  },
  [tf.Step]: zero('x'),
  [tf.Softmax]: ofX((dy, logits, { dim }) => {
    const y = tf.softmax(logits, dim as number);
    const weighted = tf.mul(dy, y);
    return tf.sub(weighted, tf.mul(tf.sum(weighted, dim as number, true), y));
  }, 'logits'),
};
