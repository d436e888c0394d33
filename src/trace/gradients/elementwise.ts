/** Gradients of elementwise arithmetic. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientRule, type GradientTable, keepWhere, ofAB, ofX, zero } from './gradient.ts';

/** dy / sqrt(inside(x)): the inverse functions. */
const overRoot = (inside: (x: tf.Tensor) => tf.Tensor, sign = 1): GradientRule =>
  ofX((dy, x) => tf.mul(tf.mul(dy, sign), tf.rsqrt(inside(x))));

export const elementwiseGradients: GradientTable = {
  [tf.Abs]: ofX((dy, x) => tf.mul(dy, tf.sign(x))),
  [tf.Acos]: overRoot((x) => tf.sub(1, tf.square(x)), -1),
  [tf.Acosh]: overRoot((x) => tf.sub(tf.square(x), 1)),
  [tf.Asin]: overRoot((x) => tf.sub(1, tf.square(x))),
  [tf.Asinh]: overRoot((x) => tf.add(tf.square(x), 1)),
  [tf.Atan]: ofX((dy, x) => tf.div(dy, tf.add(tf.square(x), 1))),
  [tf.Atanh]: ofX((dy, x) => tf.div(dy, tf.sub(1, tf.square(x)))),
  [tf.Cosh]: ofX((dy, x) => tf.mul(dy, tf.sinh(x))),
  [tf.Sinh]: ofX((dy, x) => tf.mul(dy, tf.cosh(x))),
  [tf.Tan]: ofX((dy, x) => tf.div(dy, tf.square(tf.cos(x)))),
  [tf.Ceil]: zero('x'),
  [tf.Floor]: zero('x'),
  [tf.Round]: zero('x'),
  [tf.Sign]: zero('x'),
  [tf.FloorDiv]: zero('a', 'b'),
  // Truncation to int or bool is flat between its jumps. tfjs wants every gradient in float32.
  [tf.Cast]: ofX((dy, x, { dtype }) => (dtype === 'float32' ? tf.cast(dy, 'float32') : tf.zeros(x.shape))),
  [tf.Cos]: ofX((dy, x) => tf.neg(tf.mul(dy, tf.sin(x)))),
  [tf.Sin]: ofX((dy, x) => tf.mul(dy, tf.cos(x))),
  [tf.Erf]: ofX((dy, x) => tf.mul(dy, tf.mul(tf.exp(tf.neg(tf.square(x))), 2 / Math.sqrt(Math.PI)))),
  [tf.Exp]: ofX((dy, x) => tf.mul(dy, tf.exp(x))),
  [tf.Expm1]: ofX((dy, x) => tf.mul(dy, tf.exp(x))),
  [tf.Identity]: ofX((dy) => tf.cast(dy, 'float32')),
  [tf.Log]: ofX((dy, x) => tf.div(dy, x)),
  [tf.Log1p]: ofX((dy, x) => tf.div(dy, tf.add(x, 1))),
  [tf.Neg]: ofX((dy) => tf.neg(dy)),
  [tf.Reciprocal]: ofX((dy, x) => tf.neg(tf.div(dy, tf.square(x)))),
  [tf.Rsqrt]: ofX((dy, x) => tf.mul(dy, tf.mul(tf.div(tf.rsqrt(x), x), -0.5))),
  [tf.Sqrt]: ofX((dy, x) => tf.div(tf.mul(dy, 0.5), tf.sqrt(x))),
  [tf.Square]: ofX((dy, x) => tf.mul(dy, tf.mul(x, 2))),
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
  [tf.Mod]: ofAB(
    (dy) => dy,
    (dy, a, b) => tf.neg(tf.mul(dy, tf.floor(tf.div(a, b)))),
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
};
