import { describe, expect, test } from 'vitest';
import { addFactors, drawContext, noFactors, posteriorOf } from '../../server/posterior.ts';
import { normalRow } from '../../src/spec/random.ts';

describe('a posterior', () => {
  test('is the product of its factors', () => {
    // Two factors of one value: N(1, 1/4) and N(4, 1/2): precision 4 + 2, mean (4 x 1 + 2 x 4) / 6 = 2.
    const factors = { precision: Float32Array.of(4, 2), weightedMean: Float32Array.of(4, 8) };
    const sums = addFactors(noFactors(1), factors, 2);
    expect(sums.transitionCount).toBe(2);
    const { mean, variance } = posteriorOf(sums, 'start');
    expect([mean[0], variance[0]]).toEqual([2, Math.fround(1 / 6)]);
    // With N(0, 1) as one more: precision 7, mean 12 / 7.
    const withPrior = posteriorOf(sums, 'factor');
    expect([withPrior.mean[0], withPrior.variance[0]]).toEqual([Math.fround(12 / 7), Math.fround(1 / 7)]);
  });

  test('without transitions is the prior', () => {
    for (const prior of ['start', 'factor'] as const) {
      const { mean, variance } = posteriorOf(noFactors(2), prior);
      expect([...mean, ...variance]).toEqual([0, 0, 1, 1]);
    }
  });

  test('adds in whatever parts, to the last bit, and leaves what it adds to', () => {
    const precision = Float32Array.from({ length: 20 }, (_, i) => Math.exp(i / 3));
    const weightedMean = precision.map((value, i) => value * Math.sin(i));
    const part = (from: number, to: number) => ({
      precision: precision.subarray(2 * from, 2 * to),
      weightedMean: weightedMean.subarray(2 * from, 2 * to),
    });
    const empty = noFactors(2);
    const whole = addFactors(empty, part(0, 10), 10);
    const inParts = addFactors(addFactors(addFactors(empty, part(0, 3), 3), part(3, 4), 1), part(4, 10), 6);
    expect(inParts).toEqual(whole);
    expect(empty).toEqual(noFactors(2));
  });

  test('is drawn from with the noise of its seed', () => {
    const noise = new Float32Array(2);
    normalRow(9, 0, 2, noise);
    const drawn = drawContext({ mean: Float32Array.of(1, -1), variance: Float32Array.of(4, 0.25) }, 9);
    expect([...drawn]).toEqual([Math.fround(1 + 2 * noise[0]!), Math.fround(-1 + 0.5 * noise[1]!)]);
  });
});
