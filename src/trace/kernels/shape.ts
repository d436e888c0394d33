/** Kernels that move, pick or make elements. */

import * as tf from '@tensorflow/tfjs-core';
import { type Builder, dense, fill } from '../../onnx/builder.ts';
import type { Value } from '../../onnx/graph.ts';
import { cast, comparison, where } from '../../onnx/ops/elementwise.ts';
import { gather } from '../../onnx/ops/indexing.ts';
import * as ops from '../../onnx/ops/shape.ts';
import { dtypeOf } from '../backend.ts';
import type { KernelTable } from './kernel.ts';

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export const shapeKernels: KernelTable = {
  [tf.Reshape]: (g, { x }, { shape }) => ops.reshape(g, x!, shape as number[]),
  [tf.ExpandDims]: (g, { input }, { dim }) => {
    const axis = positive(dim as number, input!.shape.length + 1);
    return ops.reshape(g, input!, input!.shape.toSpliced(axis, 0, 1));
  },
  [tf.Transpose]: (g, { x }, { perm }) => ops.transpose(g, x!, perm as number[]),
  [tf.BroadcastTo]: (g, { x }, { shape }) => ops.expand(g, x!, shape as number[]),
  [tf.Tile]: (g, { x }, { reps }) => ops.tile(g, x!, reps as number[]),
  [tf.PadV2]: (g, { x }, { paddings, constantValue }) =>
    ops.pad(g, x!, paddings as [number, number][], constantValue as number),
  [tf.Reverse]: (g, { x }, { dims }) => {
    const axes = ((dims as number[]).length === 0 ? [...x!.shape.keys()] : (dims as number[])).map((axis) =>
      positive(axis, x!.shape.length),
    );
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
    const starts = begin as number[];
    const sizes = (size as number[]).map((length, i) => (length === -1 ? x!.shape[i]! - starts[i]! : length));
    return ops.slice(g, x!, starts, sizes);
  },
  [tf.StridedSlice]: (g, { x }, a) => {
    const info = tf.slice_util.sliceInfo(
      [...x!.shape],
      a.begin as number[],
      a.end as number[],
      a.strides as number[],
      a.beginMask as number,
      a.endMask as number,
      a.ellipsisMask as number,
      a.newAxisMask as number,
      a.shrinkAxisMask as number,
    );
    const sliced = ops.stridedSlice(g, x!, info, info.finalShapeSparse.length === 0 ? [] : sparseShape(info));
    return ops.reshape(g, sliced, info.finalShape);
  },

  [tf.GatherV2]: (g, { x, indices }, { axis, batchDims }) => {
    if (batchDims !== 0) throw new Error(`GatherV2: expected batchDims 0, got ${batchDims}`);
    return gather(g, x!, indices!, axis as number);
  },
  [tf.UnsortedSegmentSum]: (g, { x, segmentIds }, { numSegments }) => {
    const shape = [numSegments as number, ...x!.shape.slice(segmentIds!.shape.length)];
    return scatterAdd(g, fill(0, x!.dtype, shape), segmentIds!, x!);
  },
  [tf.ScatterNd]: (g, { indices, updates }, { shape }) => {
    const target = fill(0, updates!.dtype, shape as number[]);
    return g.emit('ScatterND', [target, cast(g, indices!, 'int64'), updates!], target, {
      reduction: { string: 'add' },
    });
  },
  [tf.OneHot]: (g, { indices }, { depth, onValue, offValue, dtype }) => {
    const classes = dense(
      Int32Array.from({ length: depth as number }, (_, i) => i),
      'int32',
      [depth as number],
    );
    const column = ops.reshape(g, indices!, [...indices!.shape, 1]);
    const hit = comparison(g, 'Equal', cast(g, column, 'int32'), classes);
    const type = dtypeOf(dtype as tf.DataType);
    return where(g, hit, fill(onValue as number, type, []), fill(offValue as number, type, []));
  },

  [tf.Fill]: (_g, _inputs, { value, shape, dtype }) =>
    fill(value as number, dtypeOf((dtype as tf.DataType | undefined) ?? 'float32'), shape as number[]),
  [tf.ZerosLike]: (_g, { x }) => fill(0, x!.dtype, x!.shape),
  [tf.OnesLike]: (_g, { x }) => fill(1, x!.dtype, x!.shape),
  [tf.Range]: (_g, _inputs, { start, stop, step, dtype }) => {
    const type = dtypeOf(dtype as tf.DataType);
    const length = Math.max(0, Math.ceil(((stop as number) - (start as number)) / (step as number)));
    const numbers = Array.from({ length }, (_, i) => (start as number) + i * (step as number));
    return dense(type === 'int32' ? Int32Array.from(numbers) : Float32Array.from(numbers), type, [length]);
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

/** Adds rows of `updates` to the rows of `target` that `indices` name. */
function scatterAdd(g: Builder, target: Value, indices: Value, updates: Value): Value {
  const column = ops.reshape(g, cast(g, indices, 'int64'), [...indices.shape, 1]);
  return g.emit('ScatterND', [target, column, updates], target, { reduction: { string: 'add' } });
}
