/** Gradients of kernels that pick or place elements by index: picking's is a sum at the picked places, and placing's a pick. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientTable, keepWhere, zero } from './gradient.ts';

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export const indexingGradients: GradientTable = {
  // Rows picked more than once get the sum of their gradients.
  [tf.GatherV2]: {
    inputs: ['x', 'indices'],
    gradient: (dy, [x, indices], { axis }) => [
      () => {
        const at = positive(axis as number, x!.rank);
        const flat = tf.reshape(indices!, [indices!.size]);
        const rest = x!.shape.toSpliced(at, 1);
        // Bring the picked dimensions to the front, add rows up, and move the axis back.
        const picked = [...Array(indices!.rank).keys()].map((i) => i + at);
        const others = [...dy.shape.keys()].filter((i) => !picked.includes(i));
        const rows = tf.reshape(tf.transpose(dy, [...picked, ...others]), [indices!.size, ...rest]);
        const sums = tf.unsortedSegmentSum(rows, flat as tf.Tensor1D, x!.shape[at]!);
        const order = [...rest.keys()].map((i) => i + 1);
        return tf.transpose(sums, order.toSpliced(at, 0, 0));
      },
      () => tf.zeros(indices!.shape),
    ],
  },
  [tf.UnsortedSegmentSum]: {
    inputs: ['x', 'segmentIds'],
    gradient: (dy, [, segmentIds]) => [
      () => {
        // Rows of negative ids were dropped.
        const kept = tf.reshape(tf.greaterEqual(segmentIds!, 0), [
          ...segmentIds!.shape,
          ...dy.shape.slice(1).map(() => 1),
        ]);
        return keepWhere(kept, tf.gather(dy, tf.maximum(segmentIds!, tf.scalar(0, 'int32')) as tf.Tensor1D));
      },
      () => tf.zeros(segmentIds!.shape),
    ],
  },
  [tf.GatherNd]: {
    inputs: ['params', 'indices'],
    gradient: (dy, [params, indices]) => [
      () => tf.scatterND(indices!, dy, params!.shape),
      () => tf.zeros(indices!.shape),
    ],
  },
  [tf.ScatterNd]: {
    inputs: ['indices', 'updates'],
    gradient: (dy, [indices]) => [() => tf.zeros(indices!.shape), () => tf.gatherND(dy, indices!)],
  },
  [tf.OneHot]: zero('indices'),
};
