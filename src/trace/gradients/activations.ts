/** Gradients of activations, the softmax family among them. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientTable, keepWhere, ofX, sumTo, zero } from './gradient.ts';

export const activationGradients: GradientTable = {
  [tf.Elu]: ofX((dy, x) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, tf.exp(tf.minimum(x, 0))))),
  [tf.LeakyRelu]: ofX((dy, x, { alpha }) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, alpha as number))),
  // A product with the mask: cheaper than a selection, and the same for finite dy.
  [tf.Relu]: ofX((dy, x) => tf.mul(dy, tf.cast(tf.greater(x, 0), 'float32'))),
  [tf.Relu6]: ofX((dy, x) => keepWhere(tf.logicalAnd(tf.greater(x, 0), tf.less(x, 6)), dy)),
  [tf.Sigmoid]: ofX((dy, x) => {
    const y = tf.sigmoid(x);
    return tf.mul(dy, tf.mul(y, tf.sub(1, y)));
  }),
  // The sigmoid as exp(x - softplus(x)): the runtime's own is exact to 1e-7 of 1, which for x < -10 is not to 1e-4 of its value.
  [tf.Softplus]: ofX((dy, x) => tf.mul(dy, tf.exp(tf.sub(x, tf.softplus(x))))),
  [tf.Tanh]: ofX((dy, x) => tf.mul(dy, tf.sub(1, tf.square(tf.tanh(x))))),
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
