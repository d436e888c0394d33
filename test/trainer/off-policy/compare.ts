/** Comparisons with golden figures, on the scales that test/golden/updates is exact on. */

import { expect } from 'vitest';

/** The same arithmetic in float32 is within 5e-6 on these scales. */
const tolerance = 3e-5;

export type GoldenGradient = { readonly l2: number; readonly first: readonly number[] };

const l2Of = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

/** Largest difference over the largest expected value. */
export function expectList(actual: ArrayLike<number>, expected: readonly number[], what: string): void {
  expect(actual.length, what).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  const worst = Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value)));
  expect(worst / scale, what).toBeLessThan(tolerance);
}

export const expectNumber = (actual: number, expected: number, what: string): void =>
  expect(Math.abs(actual / expected - 1), what).toBeLessThan(tolerance);

/** Norm and first values of every tensor; a value is on the scale of its tensor's typical one. */
export function expectGradients(
  actual: readonly Float32Array[],
  expected: readonly GoldenGradient[],
  what: string,
): void {
  expect(actual.length, what).toBe(expected.length);
  expected.forEach(({ l2, first }, k) => {
    const gradient = actual[k]!;
    expectNumber(l2Of(gradient), l2, `${what} ${k} norm`);
    const typical = l2 / Math.sqrt(gradient.length);
    first.forEach((value, i) => {
      const error = Math.abs(gradient[i]! - value) / Math.max(typical, Math.abs(value));
      expect(error, `${what} ${k}[${i}]`).toBeLessThan(tolerance);
    });
  });
}

/** The norm of all tensors together. */
export const normOf = (tensors: Iterable<Float32Array>): number =>
  Math.sqrt([...tensors].reduce((sum, values) => sum + l2Of(values) ** 2, 0));

/** First values of every tensor, absolute: a step moves them by about its learning rate, thousands of times this. */
export function expectAfter(
  actual: readonly Float32Array[],
  expected: readonly (readonly number[])[],
  what: string,
): void {
  expect(actual.length, what).toBe(expected.length);
  expected.forEach((first, k) => {
    first.forEach((value, i) => {
      expect(Math.abs(actual[k]![i]! - value), `${what} ${k}[${i}]`).toBeLessThan(1e-6);
    });
  });
}
