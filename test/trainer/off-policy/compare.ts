/** Comparisons with golden figures, on the scales that test/golden/updates is exact on. */

import { readFileSync } from 'node:fs';
import { expect } from 'vitest';

/** The same arithmetic in float32 is within 5e-6 on these scales. */
const tolerance = 3e-5;

export type GoldenGradient = { readonly l2: number; readonly first: readonly number[] };

/** The cases of files of test/golden/updates, by name. */
export const goldenCases = <Case>(files: readonly string[]): [string, Case][] =>
  files.flatMap((file) => {
    const url = new URL(`../../golden/updates/${file}`, import.meta.url);
    return Object.entries(JSON.parse(readFileSync(url, 'utf8')) as Record<string, Case>);
  });

/** A case's updates: `update_1`, `update_2` and so on. */
export type UpdatesInTurn<Update> = Readonly<Record<`update_${number}`, Update>>;

export function updatesOf<Update>(given: UpdatesInTurn<Update>): Update[] {
  const updates: Update[] = [];
  for (let n = 1; given[`update_${n}`] !== undefined; n++) updates.push(given[`update_${n}`]!);
  expect(updates).not.toHaveLength(0);
  return updates;
}

const l2Of = (values: Float32Array) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));

/** Largest difference over the largest expected value; what is 0 by a clip or a dead unit is exactly that. */
export function expectList(
  actual: ArrayLike<number>,
  expected: readonly number[],
  what: string,
  within: number = tolerance,
): void {
  expect(actual.length, what).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  const worst = Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value)));
  expect(worst, what).toBeLessThanOrEqual(within * scale);
}

export const expectNumber = (actual: number, expected: number, what: string): void =>
  expectList([actual], [expected], what);

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
      const error = Math.abs(gradient[i]! - value);
      expect(error, `${what} ${k}[${i}]`).toBeLessThanOrEqual(tolerance * Math.max(typical, Math.abs(value)));
    });
  });
}

/** The norm of all tensors together. */
export const normOf = (tensors: Iterable<Float32Array>): number =>
  Math.sqrt([...tensors].reduce((sum, values) => sum + l2Of(values) ** 2, 0));

/** First values of every tensor, absolute up to 1: a step moves them by about its learning rate, thousands of times this. */
export function expectAfter(
  actual: readonly Float32Array[],
  expected: readonly (readonly number[])[],
  what: string,
): void {
  expect(actual.length, what).toBe(expected.length);
  expected.forEach((first, k) => {
    first.forEach((value, i) => {
      const bound = 1e-6 * Math.max(1, Math.abs(value));
      expect(Math.abs(actual[k]![i]! - value), `${what} ${k}[${i}]`).toBeLessThan(bound);
    });
  });
}
