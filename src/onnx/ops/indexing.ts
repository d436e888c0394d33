/** Operators that pick elements by index. */

import { type Builder, fill } from '../builder.ts';
import type { Shape, Value } from '../graph.ts';
import { cast } from './elementwise.ts';
import { reshape, transpose } from './shape.ts';
import { positiveAxes } from './shape-rules.ts';

/** Rows of x along `axis`, in the order of `indices` (int32 or int64, any shape). */
export function gather(g: Builder, x: Value, indices: Value, axis: number): Value {
  const [positive] = positiveAxes([axis], x.shape.length) as [number];
  const shape = [...x.shape.slice(0, positive), ...indices.shape, ...x.shape.slice(positive + 1)];
  return g.emit('Gather', [x, indices], { dtype: x.dtype, shape }, { axis: { int: positive } });
}

/**
 * The same with indices of their own for each part of the first `batchSize` dimensions, which both have: indices [...batch, k...],
 * x [...batch, ..., axis, ...] to [...batch, ..., k..., ...].
 */
export function gatherInBatches(g: Builder, x: Value, indices: Value, axis: number, batchSize: number): Value {
  const order = x.shape.map((_, i) => i);
  // The axis first after the batch: [...batch, axis, ..., ...].
  const forward = order.toSpliced(axis, 1).toSpliced(batchSize, 0, axis);
  const rows = transpose(g, x, forward);
  const column = cast(g, reshape(g, indices, [...indices.shape, 1]), 'int64');
  const shape = [...indices.shape, ...rows.shape.slice(batchSize + 1)];
  const picked = g.emit('GatherND', [rows, column], { dtype: x.dtype, shape }, { batch_dims: { int: batchSize } });
  return transpose(
    g,
    picked,
    movePicked(shape.length, { from: batchSize, to: axis, count: indices.shape.length - batchSize }),
  );
}

/** The permutation that moves `count` dimensions at `from` to `to`. */
function movePicked(rank: number, { from, to, count }: { from: number; to: number; count: number }): number[] {
  const order = Array.from({ length: rank }, (_, i) => i);
  const moved = order.splice(from, count);
  return order.toSpliced(to, 0, ...moved);
}

/** Parts of x at index vectors: indices [..., n] name the first n dimensions, so the result is [..., the rest of x's]. */
export function gatherVectors(g: Builder, x: Value, indices: Value): Value {
  const shape = [...indices.shape.slice(0, -1), ...x.shape.slice(indices.shape.at(-1)!)];
  return g.emit('GatherND', [x, cast(g, indices, 'int64')], { dtype: x.dtype, shape });
}

/** Zeros of `shape` with `updates` added at index vectors [..., n]; parts named more than once get the sum. */
export function scatterAdd(g: Builder, indices: Value, updates: Value, shape: Shape): Value {
  const target = fill(0, updates.dtype, shape);
  const vectors = cast(g, indices, 'int64');
  return g.emit('ScatterND', [target, vectors, updates], target, { reduction: { string: 'add' } });
}

/** The same with indices [...] of the first dimension. */
export const scatterAddRows = (g: Builder, indices: Value, updates: Value, shape: Shape): Value =>
  scatterAdd(g, reshape(g, indices, [...indices.shape, 1]), updates, shape);
