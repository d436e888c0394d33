/** Reductions and running sums. */

import * as tf from '@tensorflow/tfjs-core';
import type { Builder } from '../../onnx/builder.ts';
import type { Value } from '../../onnx/graph.ts';
import { arithmetic, cast, unary } from '../../onnx/ops/elementwise.ts';
import * as ops from '../../onnx/ops/reduce.ts';
import { reshape, slice } from '../../onnx/ops/shape.ts';
import { positiveAxes, reducedShape } from '../../onnx/ops/shape-rules.ts';
import type { Kernel, KernelAttributes, KernelTable } from './kernel.ts';

/** tfjs gives an axis, several, or none for all; some kernels call them `reductionIndices`. */
function axesOf({ axis, reductionIndices }: KernelAttributes, { shape }: Value): number[] {
  const axes = (axis ?? reductionIndices) as number | number[] | null | undefined;
  if (axes === null || axes === undefined) return [...shape.keys()];
  return typeof axes === 'number' ? [axes] : axes;
}

const reduce =
  (op: ops.ReduceOp): Kernel =>
  (g, { x }, attributes) =>
    ops.reduce(g, op, x!, { axes: axesOf(attributes, x!), keepDims: attributes.keepDims === true });

/**
 * ONNX Runtime's ReduceMax and ReduceMin pass over a NaN unless it comes first, and its elementwise Max and Min keep one. The sum of
 * magnitudes is NaN exactly where an element is, and else no smaller than the minimum: so it changes nothing but that.
 */
const reduceExtreme =
  (op: 'Max' | 'Min'): Kernel =>
  (g, { x }, attributes) => {
    const options = { axes: axesOf(attributes, x!), keepDims: attributes.keepDims === true };
    const [axis, ...others] = positiveAxes(options.axes, x!.shape.length);
    if (x!.dtype === 'float32' && others.length === 0 && x!.shape[axis!] === 2) {
      return reshape(g, extremeOfTwo(g, op, x!, axis!), reducedShape(x!.shape, [axis!], options.keepDims));
    }
    const extreme = ops.reduce(g, `Reduce${op}`, x!, options);
    if (x!.dtype !== 'float32' || options.axes.length === 0) return extreme;
    const magnitude = ops.reduce(g, 'ReduceL1', x!, options);
    return arithmetic(g, op, extreme, op === 'Min' ? magnitude : unary(g, 'Neg', magnitude));
  };

/** Of twins, element by element: that keeps a NaN, and on CUDA needs no cuDNN, as the reductions do. */
function extremeOfTwo(g: Builder, op: 'Max' | 'Min', x: Value, axis: number): Value {
  const size = x.shape.with(axis, 1);
  const half = (begin: number) => slice(g, x, Array(size.length).fill(0).with(axis, begin), size);
  return arithmetic(g, op, half(0), half(1));
}

/** Reductions of bool: by way of int32, as ONNX reduces only numbers. */
const reduceBool =
  (op: ops.ReduceOp): Kernel =>
  (g, { x }, attributes) => {
    const options = { axes: axesOf(attributes, x!), keepDims: attributes.keepDims === true };
    return cast(g, ops.reduce(g, op, cast(g, x!, 'int32'), options), 'bool');
  };

export const reduceKernels: KernelTable = {
  [tf.Sum]: reduce('ReduceSum'),
  // The mean of integers is a float, as tfjs's.
  [tf.Mean]: (g, { x }, attributes) =>
    ops.reduce(g, 'ReduceMean', cast(g, x!, 'float32'), {
      axes: axesOf(attributes, x!),
      keepDims: attributes.keepDims === true,
    }),
  [tf.Max]: reduceExtreme('Max'),
  [tf.Min]: reduceExtreme('Min'),
  [tf.Prod]: reduce('ReduceProd'),
  [tf.All]: reduceBool('ReduceMin'),
  [tf.Any]: reduceBool('ReduceMax'),
  [tf.ArgMax]: (g, { x }, { axis }) => ops.argReduce(g, 'ArgMax', x!, axis as number),
  [tf.ArgMin]: (g, { x }, { axis }) => ops.argReduce(g, 'ArgMin', x!, axis as number),
  [tf.Cumsum]: (g, { x }, { axis, exclusive, reverse }) =>
    ops.cumulativeSum(g, x!, { axis: axis as number, exclusive: exclusive === true, reverse: reverse === true }),
};
