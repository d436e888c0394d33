/** Operators that pick elements by index. */

import { type Builder, fill } from '../builder.ts';
import type { Shape, Value } from '../graph.ts';
import { cast } from './elementwise.ts';
import { reshape } from './shape.ts';
import { positiveAxes } from './shape-rules.ts';

/** Rows of x along `axis`, in the order of `indices` (int32 or int64, any shape). */
export function gather(g: Builder, x: Value, indices: Value, axis: number): Value {
  const [positive] = positiveAxes([axis], x.shape.length) as [number];
  const shape = [...x.shape.slice(0, positive), ...indices.shape, ...x.shape.slice(positive + 1)];
  return g.emit('Gather', [x, indices], { dtype: x.dtype, shape }, { axis: { int: positive } });
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
