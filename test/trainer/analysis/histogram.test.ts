/** Bins and distances, by hand. */

import { describe, expect, test } from 'vitest';
import { commonBins, edgeOf, fractionsIn, totalVariation, widened } from '../../../trainer/analysis/histogram.ts';

describe('bins', () => {
  const bins = commonBins([Float32Array.of(0, 1), Float32Array.of(4, 2)], 4);

  test('span all values', () => {
    expect(bins).toEqual({ low: 0, high: 4, count: 4 });
    expect([0, 1, 4].map((bin) => edgeOf(bins, bin))).toEqual([0, 1, 4]);
  });

  test('have the values from their lower edge on; the last has the largest too', () => {
    expect([...fractionsIn(bins, Float32Array.of(0, 0.9, 1, 4))]).toEqual([0.5, 0.25, 0, 0.25]);
  });

  test('of a wider range have their centre where it was, and values beyond them in none', () => {
    const wide = widened({ low: 0, high: 4, count: 4 }, 2);
    expect(wide).toEqual({ low: -2, high: 6, count: 4 });
    expect([...fractionsIn(wide, Float32Array.of(-2.1, -2, 6, 6.1))]).toEqual([0.25, 0, 0, 0.25]);
  });

  test('of one point are one bin', () => {
    const point = commonBins([Float32Array.of(2, 2)], 3);
    expect([...fractionsIn(point, Float32Array.of(2, 2))]).toEqual([1, 0, 0]);
  });
});

test.each([
  [[0.5, 0.5], [0.5, 0.5], 0],
  [[1, 0], [0, 1], 1],
  // (1/4 + 0 + 1/4) / 2
  [[0.5, 0.25, 0.25], [0.25, 0.25, 0.5], 0.25],
])('the total variation of %j and %j is %d', (p, q, distance) => {
  expect(totalVariation(Float64Array.from(p), Float64Array.from(q))).toBe(distance);
});
