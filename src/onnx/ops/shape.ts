/** Operators that move elements without computing: reshape, transpose, expand, concat, slice, pad, tile. */

import { sizeOf } from '../../contract/counts.ts';
import { type Builder, fill, integers } from '../builder.ts';
import { isSymbolic, type Shape, sameShape, type Value } from '../graph.ts';
import { positiveAxes } from './shape-rules.ts';

/** The same elements, row-major, in another shape. One symbolic size is inferred by the runtime. */
export function reshape(g: Builder, x: Value, shape: Shape): Value {
  if (sizeOf(x.shape) !== sizeOf(shape)) {
    throw new Error(`Reshape: expected ${sizeOf(x.shape)} elements as in [${x.shape}], got [${shape}]`);
  }
  if (sameShape(x.shape, shape)) return x;
  const symbolicCount = shape.filter((size) => isSymbolic(size, g.symbols)).length;
  // A size of 0 beside the one to be inferred leaves any number for it.
  const target =
    symbolicCount === 1 && !shape.includes(0)
      ? integers(shape.map((size) => (isSymbolic(size, g.symbols) ? -1 : size)))
      : g.shapeTensor(shape);
  // allowzero: a size of 0 means 0, not "copy from the input".
  return g.emit('Reshape', [x, target], { dtype: x.dtype, shape }, { allowzero: { int: shape.includes(0) ? 1 : 0 } });
}

export function transpose(g: Builder, x: Value, permutation: readonly number[]): Value {
  if (permutation.every((axis, i) => axis === i)) return x;
  const shape = permutation.map((axis) => x.shape[axis]!);
  return g.emit('Transpose', [x], { dtype: x.dtype, shape }, { perm: { ints: permutation } });
}

/** Repeats along dimensions of size 1 and new leading ones. */
export function expand(g: Builder, x: Value, shape: Shape): Value {
  if (sameShape(x.shape, shape)) return x;
  return g.emit('Expand', [x, g.shapeTensor(shape)], { dtype: x.dtype, shape });
}

export function concat(g: Builder, values: readonly Value[], axis: number): Value {
  const first = values[0]!;
  if (values.length === 1) return first;
  const [positive] = positiveAxes([axis], first.shape.length) as [number];
  const total = values.reduce((sum, { shape }) => sum + shape[positive]!, 0);
  if (!isSymbolic(total, g.symbols)) {
    for (const { shape } of values) refuseSymbolic(g, 'Concat', shape[positive]!);
  }
  const shape = first.shape.map((size, i) => (i === positive ? total : size));
  return g.emit('Concat', values, { dtype: first.dtype, shape }, { axis: { int: positive } });
}

/** Elements [begin, begin + size) of each dimension. */
export function slice(g: Builder, x: Value, begin: readonly number[], size: Shape): Value {
  const axes = size.flatMap((length, i) => (length === x.shape[i] ? [] : [i]));
  if (axes.length === 0) return x;
  const starts = axes.map((axis) => begin[axis]!);
  const ends = axes.map((axis) => begin[axis]! + size[axis]!);
  for (const axis of axes) refuseSymbolic(g, 'Slice', x.shape[axis]!);
  return g.emit('Slice', [x, integers(starts), integers(ends), integers(axes)], { dtype: x.dtype, shape: size });
}

/**
 * Every `stride`-th element from `begin` towards `end` (exclusive); strides may be negative.
 * @throws Error for a cut of a symbolic dimension; the whole of it, forwards or backwards, is none
 */
export function stridedSlice(
  g: Builder,
  x: Value,
  { begin, end, strides }: { begin: readonly number[]; end: readonly number[]; strides: readonly number[] },
  shape: Shape,
): Value {
  // Written without the size: from the last element, and before element 0 as a very negative end.
  const starts = begin.map((start, i) => (strides[i]! < 0 && start === x.shape[i]! - 1 ? -1 : start));
  const ends = end.map((stop, i) => (strides[i]! < 0 && stop < 0 ? -(2 ** 31) : stop));
  const isWhole = (i: number) => strides[i] === 1 && starts[i] === 0 && ends[i] === x.shape[i];
  const isReversed = (i: number) => strides[i] === -1 && starts[i] === -1 && ends[i] === -(2 ** 31);
  const axes = [...begin.keys()].filter((i) => !isWhole(i));
  if (axes.length === 0) return x;
  for (const axis of axes) if (!isReversed(axis)) refuseSymbolic(g, 'Slice', x.shape[axis]!);
  const onAxes = (list: readonly number[]) => integers(axes.map((axis) => list[axis]!));
  return g.emit('Slice', [x, onAxes(starts), onAxes(ends), integers(axes), onAxes(strides)], { dtype: x.dtype, shape });
}

/** Surrounds x with `value`: [before, after] per dimension. */
export function pad(g: Builder, x: Value, paddings: readonly (readonly [number, number])[], value: number): Value {
  const shape = x.shape.map((size, i) => size + paddings[i]![0] + paddings[i]![1]);
  paddings.forEach(([before, after], i) => {
    if (before + after > 0) refuseSymbolic(g, 'Pad', x.shape[i]!);
  });
  const amounts = [...paddings.map(([before]) => before), ...paddings.map(([, after]) => after)];
  return g.emit('Pad', [x, integers(amounts), fill(value, x.dtype, [])], { dtype: x.dtype, shape });
}

/** Repeats the whole tensor along each dimension; where all of those have size 1 that is a broadcast. */
export function tile(g: Builder, x: Value, repeats: readonly number[]): Value {
  if (repeats.every((count) => count === 1)) return x;
  if (repeats.every((count, i) => count === 1 || x.shape[i] === 1)) {
    const shape = x.shape.map((size, i) => size * repeats[i]!);
    return expand(g, x, shape);
  }
  const shape = x.shape.map((size, i) => size * repeats[i]!);
  return g.emit('Tile', [x, g.shapeTensor(repeats)], { dtype: x.dtype, shape });
}

function refuseSymbolic(g: Builder, op: string, size: number): void {
  if (isSymbolic(size, g.symbols)) {
    throw new Error(`${op}: expected to cut or extend only dimensions of a fixed size, got a symbolic one (${size})`);
  }
}
