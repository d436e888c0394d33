/** Gradients of kernels that move elements without computing. */

import * as tf from '@tensorflow/tfjs-core';
import { stridedSliceInfo } from '../strided-slice.ts';
import { type GradientRule, type GradientTable, ofX, zero } from './gradient.ts';

const back = ofX((dy, x) => tf.reshape(dy, x.shape));

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Pads dy back to x's shape: the gradient of cutting [begin, begin + size). */
function padBack(dy: tf.Tensor, x: tf.Tensor, begin: readonly number[]): tf.Tensor {
  const paddings = x.shape.map((size, i) => [begin[i]!, size - begin[i]! - dy.shape[i]!] as [number, number]);
  return tf.pad(dy, paddings);
}

/** The gradients of an operation's outputs; tfjs gives a single one without its list. */
const listOf = (dy: tf.Tensor | tf.Tensor[]): tf.Tensor[] => (Array.isArray(dy) ? dy : [dy]);

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
  [tf.ZerosLike]: zero('x'),
  [tf.OnesLike]: zero('x'),
  [tf.Transpose]: ofX((dy, _x, { perm }) => {
    const permutation = perm as number[];
    return tf.transpose(
      dy,
      permutation.map((_, i) => permutation.indexOf(i)),
    );
  }),
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
  [tf.Reverse]: ofX((dy, _x, { dims }) => tf.reverse(dy, dims as number[] | undefined)),
  [tf.Slice]: ofX((dy, x, { begin }) =>
    padBack(dy, x, tf.slice_util.parseSliceParams(x, begin as number[])[0] as number[]),
  ),
  [tf.Concat]: ofList((dy, list, index, axis) => {
    const offset = list.slice(0, index).reduce((sum, { shape }) => sum + shape[axis]!, 0);
    return cut(dy, axis, offset, list[index]!.shape[axis]!);
  }),
  [tf.Pack]: ofList((dy, list, index, axis) => tf.reshape(cut(dy, axis, index, 1), list[index]!.shape)),
  [tf.AddN]: ofList((dy) => dy),
  [tf.SplitV]: ofX((dy, x, { axis }) => tf.concat(listOf(dy), positive(axis as number, x.rank))),
  [tf.Unpack]: ofX((dy, x, { axis }) => tf.stack(listOf(dy), positive(axis as number, x.rank)), 'value'),
  [tf.StridedSlice]: ofX((dy, x, a) => {
    const { begin, end, strides } = stridedSliceInfo(x.shape, a);
    const counts = begin.map((first, i) => Math.max(0, Math.ceil((end[i]! - first) / strides[i]!)));
    if (counts.includes(0)) return tf.zerosLike(x);
    return counts.reduce<tf.Tensor>(
      (back, _, axis) => spread(back, { axis, size: x.shape[axis]!, first: begin[axis]!, stride: strides[axis]! }),
      tf.reshape(dy, counts),
    );
  }),
};

/** Puts the n elements along an axis at `first`, `first + stride`, ... of `size` places, with zeros between and around them. */
function spread(
  dy: tf.Tensor,
  { axis, size, first, stride }: { axis: number; size: number; first: number; stride: number },
): tf.Tensor {
  const n = dy.shape[axis]!;
  if (stride < 0) {
    return spread(tf.reverse(dy, axis), { axis, size, first: first + (n - 1) * stride, stride: -stride });
  }
  const around = (before: number, after: number, at: number, rank: number) =>
    Array.from({ length: rank }, (_, i): [number, number] => (i === at ? [before, after] : [0, 0]));
  let [spaced, length] = [dy, n];
  if (stride > 1) {
    const columns = tf.pad(tf.expandDims(dy, axis + 1), around(0, stride - 1, axis + 1, dy.rank + 1));
    length = Math.min(n * stride, size - first);
    spaced = cut(tf.reshape(columns, dy.shape.with(axis, n * stride)), axis, 0, length);
  }
  return length === size ? spaced : tf.pad(spaced, around(first, size - first - length, axis, dy.rank));
}
