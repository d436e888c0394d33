/** Reductions over axes. */

import { type Builder, integers } from '../builder.ts';
import type { Value } from '../graph.ts';
import { numeric, requireDtype } from './dtype-rules.ts';
import { positiveAxes, reducedShape } from './shape-rules.ts';

export type ReduceOp = 'ReduceL1' | 'ReduceMax' | 'ReduceMean' | 'ReduceMin' | 'ReduceProd' | 'ReduceSum';

/** Axes may be negative; a reduced axis keeps size 1 where `keepDims` is set, else it goes. */
export type ReduceOptions = { readonly axes: readonly number[]; readonly keepDims: boolean };

export function reduce(g: Builder, op: ReduceOp, x: Value, { axes, keepDims }: ReduceOptions): Value {
  requireDtype(op, x, numeric);
  const positive = positiveAxes(axes, x.shape.length);
  // ONNX reads "no axes" as "all axes"; here it means what it says.
  if (positive.length === 0) return x;
  const shape = reducedShape(x.shape, positive, keepDims);
  return g.emit(op, [x, integers(positive)], { dtype: x.dtype, shape }, { keepdims: { int: keepDims ? 1 : 0 } });
}

export type ArgOp = 'ArgMax' | 'ArgMin';

/** Index of the extreme element along one axis, as int32; the first of equals. */
export function argReduce(g: Builder, op: ArgOp, x: Value, axis: number): Value {
  requireDtype(op, x, numeric);
  const [positive] = positiveAxes([axis], x.shape.length) as [number];
  const shape = reducedShape(x.shape, [positive], false);
  const index = g.emit(
    op,
    [x],
    { dtype: 'int64', shape },
    { axis: { int: positive }, keepdims: { int: 0 }, select_last_index: { int: 0 } },
  );
  return g.emit('Cast', [index], { dtype: 'int32', shape }, { to: { int: 6 } });
}

/** Running sum along one axis. */
export function cumulativeSum(
  g: Builder,
  x: Value,
  { axis, exclusive, reverse }: { axis: number; exclusive: boolean; reverse: boolean },
): Value {
  requireDtype('CumSum', x, numeric);
  const [positive] = positiveAxes([axis], x.shape.length) as [number];
  // The axis is a scalar tensor.
  const axisInput: Value = { ...integers([positive]), shape: [] };
  return g.emit('CumSum', [x, axisInput], x, {
    exclusive: { int: exclusive ? 1 : 0 },
    reverse: { int: reverse ? 1 : 0 },
  });
}
