/** Shape inference shared by the operator families. */

import { type Shape, sameShape } from '../graph.ts';

/**
 * The NumPy broadcast of two shapes.
 * @throws Error naming both shapes where they do not broadcast
 */
export function broadcastShapes(op: string, a: Shape, b: Shape): Shape {
  if (sameShape(a, b)) return a;
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const sizeA = a[i - rank + a.length] ?? 1;
    const sizeB = b[i - rank + b.length] ?? 1;
    if (sizeA !== sizeB && sizeA !== 1 && sizeB !== 1) {
      throw new Error(`${op}: expected shapes that broadcast, got [${a}] and [${b}]`);
    }
    return sizeA === 1 ? sizeB : sizeA;
  });
}

/** Axes as non-negative integers. */
export const positiveAxes = (axes: readonly number[], rank: number): number[] =>
  axes.map((axis) => (axis < 0 ? axis + rank : axis));

/** The shape after reducing `axes` (non-negative). */
export function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  return keepDims ? shape.map((size, i) => (axes.includes(i) ? 1 : size)) : shape.filter((_, i) => !axes.includes(i));
}
