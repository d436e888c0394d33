/** Gradients of kernels that pick or place elements by index: picking's is a sum at the picked places, and placing's a pick. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientTable, keepWhere, zero } from './gradient.ts';

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export const indexingGradients: GradientTable = {
  // Rows picked more than once get the sum of their gradients.
  [tf.GatherV2]: {
    inputs: ['x', 'indices'],
    gradient: (dy, [x, indices], { axis, batchDims }) => [
      () => addBack(dy, x!, indices!, positive(axis as number, x!.rank), (batchDims as number | undefined) ?? 0),
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

/** Sums dy [...batch, a..., k..., b...] at the places in x [...batch, a..., n, b...] that the indices [...batch, k...] name. */
function addBack(dy: tf.Tensor, x: tf.Tensor, indices: tf.Tensor, at: number, batchSize: number): tf.Tensor {
  const pickedCount = indices.rank - batchSize;
  const [batch, n] = [x.shape.slice(0, batchSize), x.shape[at]!];
  const rest = x.shape.toSpliced(at, 1).slice(batchSize);
  // Bring the picked dimensions behind the batch, add rows up, and move the axis back.
  const order = [...dy.shape.keys()];
  const forward = order.toSpliced(at, pickedCount).toSpliced(batchSize, 0, ...order.slice(at, at + pickedCount));
  const rows = tf.reshape(tf.transpose(dy, forward), [indices.size, ...rest]);
  const batchCount = tf.util.sizeFromShape(batch);
  const ids = tf.reshape(batchSize === 0 ? indices : inOneRange(indices, batchCount, n), [indices.size]);
  const sums = tf.reshape(tf.unsortedSegmentSum(rows, ids as tf.Tensor1D, batchCount * n), [...batch, n, ...rest]);
  return tf.transpose(sums, [...x.shape.keys()].toSpliced(batchSize, 1).toSpliced(at, 0, batchSize));
}

/** Indices below n of each of `batchCount` parts, as indices below batchCount x n. */
function inOneRange(indices: tf.Tensor, batchCount: number, n: number): tf.Tensor {
  // 0, 1, 2, ... as a sum, which a symbolic count allows.
  const part = tf.cumsum(tf.ones([batchCount], 'int32'), 0, true);
  const flat = tf.reshape(indices, [batchCount, -1]);
  return tf.add(flat, tf.reshape(tf.mul(part, tf.scalar(n, 'int32')), [batchCount, 1]));
}
