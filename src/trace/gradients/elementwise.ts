/** Gradients of elementwise kernels. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientTable, keepWhere, ofAB, ofX, sumTo } from './gradient.ts';

const zeros = (x: tf.Tensor): tf.Tensor => tf.zeros(x.shape);
const zero = ofX((_dy, x) => zeros(x));
/** Truth values do not change with their operands, except at jumps. */
const zeroAB = ofAB(
  (_dy, a) => zeros(a),
  (_dy, _a, b) => zeros(b),
);

export const elementwiseGradients: GradientTable = {
  [tf.Abs]: ofX((dy, x) => tf.mul(dy, tf.sign(x))),
  [tf.Ceil]: zero,
  [tf.Floor]: zero,
  [tf.Round]: zero,
  [tf.Sign]: zero,
  [tf.Step]: zero,
  // tfjs wants every gradient in float32; bool and int inputs never lead to a parameter.
  [tf.Cast]: ofX((dy) => tf.cast(dy, 'float32')),
  [tf.Cos]: ofX((dy, x) => tf.neg(tf.mul(dy, tf.sin(x)))),
  [tf.Sin]: ofX((dy, x) => tf.mul(dy, tf.cos(x))),
  [tf.Elu]: ofX((dy, x) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, tf.exp(tf.minimum(x, 0))))),
  [tf.Erf]: ofX((dy, x) => tf.mul(dy, tf.mul(tf.exp(tf.neg(tf.square(x))), 2 / Math.sqrt(Math.PI)))),
  [tf.Exp]: ofX((dy, x) => tf.mul(dy, tf.exp(x))),
  [tf.Expm1]: ofX((dy, x) => tf.mul(dy, tf.exp(x))),
  [tf.Identity]: ofX((dy) => tf.cast(dy, 'float32')),
  [tf.LeakyRelu]: ofX((dy, x, { alpha }) => tf.where(tf.greater(x, 0), dy, tf.mul(dy, alpha as number))),
  [tf.Log]: ofX((dy, x) => tf.div(dy, x)),
  [tf.Log1p]: ofX((dy, x) => tf.div(dy, tf.add(x, 1))),
  [tf.Neg]: ofX((dy) => tf.neg(dy)),
  [tf.Reciprocal]: ofX((dy, x) => tf.neg(tf.div(dy, tf.square(x)))),
  [tf.Relu]: ofX((dy, x) => keepWhere(tf.greater(x, 0), dy)),
  [tf.Relu6]: ofX((dy, x) => keepWhere(tf.logicalAnd(tf.greater(x, 0), tf.less(x, 6)), dy)),
  [tf.Rsqrt]: ofX((dy, x) => tf.mul(dy, tf.mul(tf.div(tf.rsqrt(x), x), -0.5))),
  [tf.Sigmoid]: ofX((dy, x) => {
    const y = tf.sigmoid(x);
    return tf.mul(dy, tf.mul(y, tf.sub(1, y)));
  }),
  [tf.Softplus]: ofX((dy, x) => tf.mul(dy, tf.sigmoid(x))),
  [tf.Sqrt]: ofX((dy, x) => tf.div(tf.mul(dy, 0.5), tf.sqrt(x))),
  [tf.Square]: ofX((dy, x) => tf.mul(dy, tf.mul(x, 2))),
  [tf.Tanh]: ofX((dy, x) => tf.mul(dy, tf.sub(1, tf.square(tf.tanh(x))))),
  // Inside the bounds and on them, as PyTorch.
  [tf.ClipByValue]: ofX((dy, x, { clipValueMin, clipValueMax }) =>
    keepWhere(tf.logicalAnd(tf.greaterEqual(x, clipValueMin as number), tf.lessEqual(x, clipValueMax as number)), dy),
  ),

  [tf.Equal]: zeroAB,
  [tf.Greater]: zeroAB,
  [tf.GreaterEqual]: zeroAB,
  [tf.Less]: zeroAB,
  [tf.LessEqual]: zeroAB,
  [tf.LogicalAnd]: zeroAB,
  [tf.LogicalNot]: zero,
  [tf.LogicalOr]: zeroAB,
  [tf.NotEqual]: zeroAB,

  [tf.Add]: ofAB(
    (dy) => dy,
    (dy) => dy,
  ),
  [tf.Sub]: ofAB(
    (dy) => dy,
    (dy) => tf.neg(dy),
  ),
  [tf.Multiply]: ofAB(
    (dy, _a, b) => tf.mul(dy, tf.cast(b, 'float32')),
    (dy, a) => tf.mul(dy, tf.cast(a, 'float32')),
  ),
  [tf.RealDiv]: ofAB(
    (dy, _a, b) => tf.div(dy, tf.cast(b, 'float32')),
    (dy, a, b) => tf.neg(tf.div(tf.mul(dy, a), tf.square(b))),
  ),
  // A tie sends the whole gradient to the first.
  [tf.Maximum]: ofAB(
    (dy, a, b) => keepWhere(tf.greaterEqual(a, b), dy),
    (dy, a, b) => keepWhere(tf.less(a, b), dy),
  ),
  [tf.Minimum]: ofAB(
    (dy, a, b) => keepWhere(tf.lessEqual(a, b), dy),
    (dy, a, b) => keepWhere(tf.greater(a, b), dy),
  ),
  [tf.SquaredDifference]: ofAB(
    (dy, a, b) => tf.mul(dy, tf.mul(tf.sub(a, b), 2)),
    (dy, a, b) => tf.mul(dy, tf.mul(tf.sub(b, a), 2)),
  ),
  // The logarithm is only taken of positive bases; elsewhere the exponent has no gradient.
  [tf.Pow]: ofAB(
    (dy, a, b) => tf.mul(dy, tf.mul(b, tf.pow(a, tf.sub(b, 1)))),
    (dy, a, b) => {
      const positive = tf.greater(a, 0);
      const safe = tf.where(positive, a, tf.onesLike(a));
      return tf.mul(dy, keepWhere(positive, tf.mul(tf.pow(safe, b), tf.log(safe))));
    },
  ),
  [tf.Prelu]: {
    inputs: ['x', 'alpha'],
    gradient: (dy, [x, alpha]) => [
      () => tf.where(tf.greater(x!, 0), dy, tf.mul(dy, alpha!)),
      () => sumTo(tf.where(tf.greater(x!, 0), tf.zerosLike(dy), tf.mul(dy, x!)), alpha!.shape),
    ],
  },
  [tf.Select]: {
    inputs: ['condition', 't', 'e'],
    gradient: (dy, [condition]) => [
      () => zeros(condition!),
      () => keepWhere(condition!, dy),
      () => keepWhere(tf.logicalNot(condition!), dy),
    ],
  },
};
