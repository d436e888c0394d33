/** Gradients of kernels that move or pick elements. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientRule, type GradientTable, ofX, sumTo } from './gradient.ts';

const back = ofX((dy, x) => tf.reshape(dy, x.shape));
const zero = ofX((_dy, x) => tf.zerosLike(x));

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Pads dy back to x's shape: the gradient of cutting [begin, begin + size). */
function padBack(dy: tf.Tensor, x: tf.Tensor, begin: readonly number[]): tf.Tensor {
  const paddings = x.shape.map((size, i) => [begin[i]!, size - begin[i]! - dy.shape[i]!] as [number, number]);
  return tf.pad(dy, paddings);
}

/** One gradient per element of an array input. */
const ofList = (gradient: (dy: tf.Tensor, list: readonly tf.Tensor[], index: number, axis: number) => tf.Tensor) =>
  ({
    inputs: [],
    gradient: (dy, list, { axis }) =>
      list.map((_, i) => () => gradient(dy, list, i, axis === undefined ? 0 : positive(axis as number, dy.rank))),
  }) satisfies GradientRule;

/** The part of dy that came from `size` slices at `offset` along `axis`. */
function cut(dy: tf.Tensor, axis: number, offset: number, size: number): tf.Tensor {
  return tf.slice(
    dy,
    dy.shape.map((_, i) => (i === axis ? offset : 0)),
    dy.shape.with(axis, size),
  );
}

export const shapeGradients: GradientTable = {
  [tf.Reshape]: back,
  [tf.ExpandDims]: ofX((dy, x) => tf.reshape(dy, x.shape), 'input'),
  [tf.ZerosLike]: zero,
  [tf.OnesLike]: zero,
  [tf.Transpose]: ofX((dy, _x, { perm }) => {
    const permutation = perm as number[];
    return tf.transpose(
      dy,
      permutation.map((_, i) => permutation.indexOf(i)),
    );
  }),
  [tf.BroadcastTo]: ofX((dy, x) => sumTo(dy, x.shape)),
  [tf.Tile]: ofX((dy, x, { reps }) => {
    const repeats = reps as number[];
    const blocks = x.shape.flatMap((size, i) => [repeats[i]!, size]);
    return tf.sum(
      tf.reshape(dy, blocks),
      repeats.map((_, i) => 2 * i),
    );
  }),
  [tf.PadV2]: ofX((dy, x, { paddings }) =>
    tf.slice(
      dy,
      (paddings as [number, number][]).map(([before]) => before),
      x.shape,
    ),
  ),
  [tf.Reverse]: ofX((dy, _x, { dims }) => tf.reverse(dy, dims as number[])),
  [tf.Slice]: ofX((dy, x, { begin }) => padBack(dy, x, begin as number[])),
  [tf.Concat]: ofList((dy, list, index, axis) => {
    const offset = list.slice(0, index).reduce((sum, { shape }) => sum + shape[axis]!, 0);
    return cut(dy, axis, offset, list[index]!.shape[axis]!);
  }),
  [tf.Pack]: ofList((dy, list, index, axis) => tf.reshape(cut(dy, axis, index, 1), list[index]!.shape)),
  [tf.AddN]: ofList((dy) => dy),
  [tf.SplitV]: ofX((dy, x, { axis }) => tf.concat(dy as unknown as tf.Tensor[], positive(axis as number, x.rank))),
  [tf.Unpack]: ofX(
    (dy, x, { axis }) => tf.stack(dy as unknown as tf.Tensor[], positive(axis as number, x.rank)),
    'value',
  ),
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
      () => tf.gather(dy, segmentIds as tf.Tensor1D),
      () => tf.zeros(segmentIds!.shape),
    ],
  },
};
