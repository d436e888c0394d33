/** Kernels that move elements without computing: shapes, order, parts, repeats. */

import * as tf from '@tensorflow/tfjs-core';
import type { Builder } from '../../onnx/builder.ts';
import type { Value } from '../../onnx/graph.ts';
import * as ops from '../../onnx/ops/shape.ts';
import { stridedSliceInfo } from '../strided-slice.ts';
import type { KernelTable } from './kernel.ts';

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export const shapeKernels: KernelTable = {
  [tf.Reshape]: (g, { x }, { shape }) =>
    ops.reshape(g, x!, tf.util.inferFromImplicitShape(shape as number[], tf.util.sizeFromShape(x!.shape as number[]))),
  [tf.ExpandDims]: (g, { input }, { dim }) => {
    const axis = positive(dim as number, input!.shape.length + 1);
    return ops.reshape(g, input!, input!.shape.toSpliced(axis, 0, 1));
  },
  [tf.Transpose]: (g, { x }, { perm }) => ops.transpose(g, x!, perm as number[]),
  [tf.Tile]: (g, { x }, { reps }) => ops.tile(g, x!, reps as number[]),
  [tf.PadV2]: (g, { x }, { paddings, constantValue }) =>
    ops.pad(g, x!, paddings as [number, number][], constantValue as number),
  [tf.Reverse]: (g, { x }, { dims }) => {
    const axes = tf.util.parseAxisParam(dims as number | number[], [...x!.shape]);
    const reversed = (axis: number) => axes.includes(axis);
    const begin = x!.shape.map((_, i) => (reversed(i) ? -1 : 0));
    const end = x!.shape.map((size, i) => (reversed(i) ? -(2 ** 31) : size));
    const strides = x!.shape.map((_, i) => (reversed(i) ? -1 : 1));
    return ops.stridedSlice(g, x!, { begin, end, strides }, x!.shape);
  },

  [tf.Concat]: (g, { list }, { axis }) => ops.concat(g, list, axis as number),
  [tf.Pack]: (g, { list }, { axis }) => {
    const at = positive(axis as number, list[0]!.shape.length + 1);
    const columns = list.map((value) => ops.reshape(g, value, value.shape.toSpliced(at, 0, 1)));
    return ops.concat(g, columns, at);
  },
  [tf.Unpack]: (g, { value }, { axis }) => {
    const at = positive(axis as number, value!.shape.length);
    const sizes = Array<number>(value!.shape[at]!).fill(1);
    return split(g, value!, sizes, at).map((part) => ops.reshape(g, part, part.shape.toSpliced(at, 1)));
  },
  [tf.SplitV]: (g, { x }, { numOrSizeSplits, axis }) => {
    const at = positive(axis as number, x!.shape.length);
    return split(
      g,
      x!,
      tf.backend_util.prepareSplitSize(x! as unknown as tf.Tensor, numOrSizeSplits as number, at),
      at,
    );
  },
  [tf.Slice]: (g, { x }, { begin, size }) => {
    const full = x! as unknown as tf.Tensor;
    const [starts, sizes] = tf.slice_util.parseSliceParams(full, begin as number[], size as number[]) as [
      number[],
      number[],
    ];
    return ops.slice(g, x!, starts, sizes);
  },
  [tf.StridedSlice]: (g, { x }, a) => {
    const info = stridedSliceInfo(x!.shape, a);
    const sliced = ops.stridedSlice(g, x!, info, info.finalShapeSparse.length === 0 ? [] : sparseShape(info));
    return ops.reshape(g, sliced, info.finalShape);
  },
};

function split(g: Builder, x: Value, sizes: readonly number[], axis: number): Value[] {
  let offset = 0;
  return sizes.map((size) => {
    const begin = x.shape.map((_, i) => (i === axis ? offset : 0));
    offset += size;
    return ops.slice(g, x, begin, x.shape.with(axis, size));
  });
}

/** The shape of a strided slice before axes are dropped or added. */
function sparseShape({ begin, end, strides }: { begin: number[]; end: number[]; strides: number[] }): number[] {
  return begin.map((start, i) => Math.max(0, Math.ceil((end[i]! - start) / strides[i]!)));
}
