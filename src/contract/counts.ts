/** How many there are of something, and how large it is. */

import { invalidArgument } from './errors.ts';

/** Values of a tensor of a shape. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** @throws HyperpolicyError invalid_argument: a count that is not a positive integer */
export function requireCount(where: string, count: number): void {
  if (Number.isSafeInteger(count) && count >= 1) return;
  throw invalidArgument({ where, expected: 'a positive integer', actual: `${count}` });
}
