/**
 * How a gradient is written here. tfjs's own gradients of `Exp Tanh Sigmoid Max Pow Softmax` and others save the op's
 * output, which is off the tape, so their second derivatives are silently wrong. Ours save inputs only and recompute;
 * common-subexpression elimination makes that free in a traced graph.
 */

import * as tf from '@tensorflow/tfjs-core';

export type Attributes = Readonly<Record<string, unknown>>;

/** Gradients with respect to each named input, given dy and the inputs. */
export type GradientRule = {
  /** Input names in the order in which `x` receives them. */
  readonly inputs: readonly string[];
  readonly gradient: (dy: tf.Tensor, x: readonly tf.Tensor[], attributes: Attributes) => readonly (() => tf.Tensor)[];
  /** Set where the result does not change with its inputs, except at jumps: every gradient is zero. */
  readonly isZero?: true;
};

export type GradientTable = Readonly<Record<string, GradientRule>>;

/** A rule for one input `x` whose gradient is one expression. */
export const ofX = (
  gradient: (dy: tf.Tensor, x: tf.Tensor, attributes: Attributes) => tf.Tensor,
  input = 'x',
): GradientRule => ({
  inputs: [input],
  gradient: (dy, [x], attributes) => [() => gradient(dy, x!, attributes)],
});

/** A rule for two broadcasting inputs `a` and `b`; each result is summed back to its input's shape. */
export const ofAB = (
  gradientA: (dy: tf.Tensor, a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
  gradientB: (dy: tf.Tensor, a: tf.Tensor, b: tf.Tensor) => tf.Tensor,
): GradientRule => ({
  inputs: ['a', 'b'],
  gradient: (dy, [a, b]) => [
    () => sumTo(gradientA(dy, a!, b!), a!.shape),
    () => sumTo(gradientB(dy, a!, b!), b!.shape),
  ],
});

/** Sums a gradient over the dimensions along which its input was broadcast. */
export function sumTo(gradient: tf.Tensor, shape: number[]): tf.Tensor {
  const extra = gradient.rank - shape.length;
  const axes = gradient.shape.flatMap((size, i) => (i < extra || (shape[i - extra] === 1 && size !== 1) ? [i] : []));
  return tf.reshape(axes.length === 0 ? gradient : tf.sum(gradient, axes), shape);
}

/** `condition ? value : 0`. */
export const keepWhere = (condition: tf.Tensor, value: tf.Tensor): tf.Tensor =>
  tf.where(condition, value, tf.zerosLike(value));

/** A rule for results that do not change with their inputs, except at jumps. */
export const zero = (...inputs: string[]): GradientRule => ({
  inputs,
  gradient: (_dy, x) => x.map((input) => () => tf.zeros(input.shape)),
  isZero: true,
});
