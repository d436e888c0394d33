/** Gradients of reductions and running sums. */

import * as tf from '@tensorflow/tfjs-core';
import { isTracedSymbolic } from '../backend.ts';
import { type Attributes, type GradientTable, keepWhere, ofX, zero } from './gradient.ts';

function axesOf({ axis, reductionIndices }: Attributes, x: tf.Tensor): number[] {
  const axes = (axis ?? reductionIndices) as number | number[] | null | undefined;
  return tf.util.parseAxisParam(axes ?? [...x.shape.keys()], x.shape);
}

/** A reduction's gradient or result with its reduced axes back at size 1. */
function keepAxes(reduced: tf.Tensor, x: tf.Tensor, axes: readonly number[]): tf.Tensor {
  return tf.reshape(
    reduced,
    x.shape.map((size, i) => (axes.includes(i) ? 1 : size)),
  );
}

/** How many elements each result was reduced from; counted at run time where a reduced axis is symbolic. */
function countOf(x: tf.Tensor, axes: readonly number[]): number | tf.Tensor {
  if (!axes.some((axis) => isTracedSymbolic(x.shape[axis]!))) {
    return axes.reduce((product, axis) => product * x.shape[axis]!, 1);
  }
  const reduced = x.shape.map((size, i) => (axes.includes(i) ? size : 1));
  return tf.sum(tf.fill(reduced, 1), [...axes], true);
}

/** Max and min: equal extremes share the gradient equally. */
const ofExtreme = (extreme: typeof tf.max) =>
  ofX((dy, x, attributes) => {
    const axes = axesOf(attributes, x);
    const isExtreme = tf.equal(x, extreme(x, axes, true));
    const share = tf.cast(isExtreme, 'float32');
    return keepWhere(isExtreme, tf.div(tf.mul(share, keepAxes(dy, x, axes)), tf.sum(share, axes, true)));
  });

export const reduceGradients: GradientTable = {
  [tf.Sum]: ofX((dy, x, attributes) => tf.broadcastTo(keepAxes(dy, x, axesOf(attributes, x)), x.shape)),
  [tf.Mean]: ofX((dy, x, attributes) => {
    const axes = axesOf(attributes, x);
    return tf.broadcastTo(tf.div(keepAxes(dy, x, axes), countOf(x, axes)), x.shape);
  }),
  [tf.Max]: ofExtreme(tf.max),
  [tf.Min]: ofExtreme(tf.min),
  // prod / x_i, as products of the elements before and after i, so that zeros are right.
  [tf.Prod]: ofX((dy, x, attributes) => {
    const axes = axesOf(attributes, x);
    if (axes.length !== 1) throw new Error(`Prod: expected one axis to differentiate over, got ${axes.length}`);
    const axis = axes[0]!;
    const parts = tf.split(x, x.shape[axis]!, axis);
    const one = tf.onesLike(parts[0]!);
    const before = parts.map((_, i) => parts.slice(0, i).reduce((product, part) => tf.mul(product, part), one));
    const after = parts.map((_, i) => parts.slice(i + 1).reduce((product, part) => tf.mul(product, part), one));
    return tf.mul(
      keepAxes(dy, x, axes),
      tf.concat(
        before.map((product, i) => tf.mul(product, after[i]!)),
        axis,
      ),
    );
  }),
  [tf.Cumsum]: ofX((dy, _x, { axis, exclusive, reverse }) =>
    tf.cumsum(dy, axis as number, exclusive as boolean, !(reverse as boolean)),
  ),
  [tf.All]: zero('x'),
  [tf.Any]: zero('x'),
  [tf.ArgMax]: zero('x'),
  [tf.ArgMin]: zero('x'),
};
