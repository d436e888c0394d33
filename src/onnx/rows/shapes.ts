/** Sizes of values while a row program is planned. */

import { sizeOf } from '../../contract/counts.ts';
import { NotByRow, type Place } from './planning.ts';

/** Dimensions of a value; those of networks have four at most. */
const rankMax = 16;

/** @throws NotByRow if there are too many dimensions */
export function boundedSizeOf(shape: readonly number[]): number {
  if (shape.length > rankMax) throw new NotByRow(`${shape.length} dimensions`);
  return sizeOf(shape);
}

export const show = (...shapes: (readonly number[])[]): string =>
  shapes.map((shape) => `[${shape.join(', ')}]`).join(' and ');

/**
 * Refuses operands whose axis of rows would become another axis of the result, or meet something else than rows or a single value.
 * @throws NotByRow
 */
export function requireRowsFirst(op: string, operands: readonly Place[], rank: number): void {
  const shifted = operands.some(({ shape, hasRows }) =>
    hasRows ? shape.length !== rank : shape.length === rank && (shape[0] ?? 1) !== 1 && operands.some((o) => o.hasRows),
  );
  if (shifted) throw new NotByRow(`${op} of ${show(...operands.map(({ shape }) => shape))}`);
}

/** The shape that both are broadcast to. @throws NotByRow if there is none */
export function broadcast(op: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [left, right] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    if (left !== right && left !== 1 && right !== 1) throw new NotByRow(`${op} of ${show(a, b)}`);
    return left === 1 ? right : left;
  });
}

/** For each place of a shape, in order, where an operand that is broadcast to it has its value: a place in the operand. */
export function offsetsOf(shape: readonly number[], operand: readonly number[]): number[] {
  let offsets = [0];
  const rank = shape.length;
  let size = 1;
  const strides = Array.from({ length: rank }, () => 0);
  for (let axis = rank - 1; axis >= 0; axis--) {
    const own = operand[operand.length - rank + axis] ?? 1;
    if (own !== 1) strides[axis] = size;
    size *= own;
  }
  shape.forEach((length, axis) => {
    offsets = offsets.flatMap((offset) => Array.from({ length }, (_, i) => offset + i * strides[axis]!));
  });
  return offsets;
}
