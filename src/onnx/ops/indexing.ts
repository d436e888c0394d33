/** Operators that pick elements by index. */

import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import { positiveAxes } from './shape-rules.ts';

/** Rows of x along `axis`, in the order of `indices` (int32 or int64, any shape). */
export function gather(g: Builder, x: Value, indices: Value, axis: number): Value {
  const [positive] = positiveAxes([axis], x.shape.length) as [number];
  const shape = [...x.shape.slice(0, positive), ...indices.shape, ...x.shape.slice(positive + 1)];
  return g.emit('Gather', [x, indices], { dtype: x.dtype, shape }, { axis: { int: positive } });
}
