/** The estimated gradient of functions whose gradient is known. */

import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { cosineSimilarity, fitGradient } from '../../../trainer/analysis/action-gradient.ts';

const normals = (count: number, seed = 1) => {
  const random = createRandom(seed);
  return Float64Array.from({ length: count }, () => random.normal());
};

/** The value of a function at each row of [N, A]. */
const valuesOf = (actions: Float64Array, size: number, f: (action: Float64Array) => number) =>
  Float64Array.from({ length: actions.length / size }, (_, n) => f(actions.subarray(n * size, (n + 1) * size)));

describe('fitGradient', () => {
  test('of one value is that over all pairs', () => {
    // Pairs of (0, 1), (1, 2), (3, 8): the differences are (1, 1), (2, 6), (3, 7), so (1 + 12 + 21) / (1 + 4 + 9) = 34 / 14.
    expect(fitGradient([0, 1, 3], [1, 2, 8])![0]).toBeCloseTo(34 / 14, 12);
  });

  test.each([
    [6, 15],
    [8, 15],
    [8, 9],
  ])('of a linear function of %i values at %i points is exact, far from zero too', (size, count) => {
    const gradient = normals(size, 7);
    const actions = normals(size * count).map((value) => 0.3 * value + 5);
    const returns = valuesOf(actions, size, (action) => 1e4 + action.reduce((sum, a, i) => sum + gradient[i]! * a, 0));
    const fitted = fitGradient(actions, returns)!;
    for (let i = 0; i < size; i++) expect(fitted[i]).toBeCloseTo(gradient[i]!, 8);
  });

  test('of a quadratic function at points on both sides is the gradient in their middle', () => {
    // f = 2 a + 3 b - 4 a^2 + 5 a b at (1, 2) +- (h, k): the gradient is (2 - 8 + 10, 3 + 5) = (4, 8).
    const offsets = [
      [0.3, 0.1],
      [-0.2, 0.4],
      [0.1, -0.5],
    ];
    const actions = Float64Array.from(offsets.flatMap(([h, k]) => [1 + h!, 2 + k!, 1 - h!, 2 - k!]));
    const returns = valuesOf(actions, 2, ([a, b]) => 2 * a! + 3 * b! - 4 * a! ** 2 + 5 * a! * b!);
    const fitted = fitGradient(actions, returns)!;
    expect(fitted[0]).toBeCloseTo(4, 10);
    expect(fitted[1]).toBeCloseTo(8, 10);
  });

  test('is ordinary least squares with an intercept where nothing fits exactly', () => {
    // Residuals are orthogonal to every column and to 1.
    const [size, count] = [3, 20];
    const [actions, returns] = [normals(size * count, 2), normals(count, 3)];
    const fitted = fitGradient(actions, returns)!;
    const residuals = returns.map(
      (value, n) => value - fitted.reduce((sum, g, i) => sum + g * actions[n * size + i]!, 0),
    );
    const mean = residuals.reduce((sum, r) => sum + r, 0) / count;
    for (let i = 0; i < size; i++) {
      const product = residuals.reduce((sum, r, n) => sum + (r - mean) * actions[n * size + i]!, 0);
      expect(product).toBeCloseTo(0, 12);
    }
  });

  test('is undefined if the actions do not determine it', () => {
    expect(fitGradient([0, 1, 2, 3], [1, 2])).toBeUndefined(); // two values at two points
    expect(fitGradient([0, 1, 1, 1, 2, 1, 5, 1], [1, 2, 3, 4])).toBeUndefined(); // the second is the same everywhere
    expect(fitGradient([0, 1, 1, 3, 2, 5, 5, 11], [1, 2, 3, 4])).toBeUndefined(); // the second is 2 x the first + 1
    expect(fitGradient([0, 1, 1, 3, 2, 5.1, 5, 11], [1, 2, 3, 4])).toBeDefined();
  });

  test.each([0.3, 0.7])(
    'is undefined if all actions are at one bound of %d, whatever their mean rounds to',
    (bound) => {
      // As clipped to float32 and counted in halves of the range: the mean of 15 of them is not exactly each of them.
      const atBound = Math.fround(bound) / bound;
      const actions = normals(30, 2).map((value, i) => (i % 2 === 0 ? atBound : 0.3 * value));
      expect(fitGradient(actions, normals(15, 3))).toBeUndefined();
    },
  );
});

test('cosineSimilarity', () => {
  expect(cosineSimilarity([3, 4], [30, 40])).toBeCloseTo(1, 12);
  expect(cosineSimilarity([3, 4], [-3, -4])).toBeCloseTo(-1, 12);
  expect(cosineSimilarity([1, 0], [1, 1])).toBeCloseTo(Math.SQRT1_2, 12);
  expect(cosineSimilarity([0, 0], [1, 1])).toBeUndefined();
  expect(cosineSimilarity([Number.NaN, 1], [1, 1])).toBeUndefined();
});
