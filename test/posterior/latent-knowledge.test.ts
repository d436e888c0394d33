import { describe, expect, test } from 'vitest';
import { checkPosterior } from '../../server/methods/adapt.ts';
import { normalRow } from '../../src/contract/random.ts';
import {
  drawContext,
  gaussianOf,
  type LatentKnowledge,
  noKnowledge,
  withTransitions,
} from '../../src/posterior/latent-knowledge.ts';

/** The parts of a product, by their names. */
const addFactors = (
  sums: LatentKnowledge,
  { precision, weightedMean }: { precision: Float32Array; weightedMean: Float32Array },
  count: number,
) => withTransitions('product', sums, [precision, weightedMean], count);
const noFactors = (size: number) => noKnowledge(2 * size);
const posteriorOf = (sums: LatentKnowledge, prior: 'start' | 'factor') =>
  gaussianOf('product', sums, { size: sums.values.length / 2, prior });

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

  test('that float32 does not hold is refused: the client’s doing where what it sent is huge, else the model’s', () => {
    // Of a precision of 1e-40 the variance is 1e40: float32 ends at 3.4e38.
    const sums = { transitionCount: 1, values: Float64Array.of(1e-40, 1e-40) };
    const posterior = posteriorOf(sums, 'start');
    expect([...posterior.mean, ...posterior.variance]).toEqual([1, Number.POSITIVE_INFINITY]);
    const drawn = { ...posterior, context: drawContext(posterior, 1) };
    const check = (values: Float32Array, given = drawn) =>
      checkPosterior(given, { method: 'Adapt', values: [undefined, values] });
    expect(() => check(Float32Array.of(0, -3e38))).toThrow(
      expect.objectContaining({
        kind: 'invalid_argument',
        message:
          'Adapt: expected values that this model can work with, got some as large as 3.0e+38, of which it makes no finite result',
      }),
    );
    const fault = new Error('posterior variance: value 0 is Infinity');
    expect(() => check(Float32Array.of(1e6, -1e6))).toThrow(fault);
    expect(() => check(new Float32Array(0), { ...drawn, variance: Float32Array.of(1) })).toThrow(
      /^posterior context: value 0 is -?Infinity$/,
    );
    expect(() => check(new Float32Array(0), { ...drawn, mean: Float32Array.of(Number.NaN) })).toThrow(
      'posterior mean: value 0 is NaN',
    );
  });

  test('is drawn from with the noise of its seed', () => {
    const noise = new Float32Array(2);
    normalRow(9, 0, 2, noise);
    const drawn = drawContext({ mean: Float32Array.of(1, -1), variance: Float32Array.of(4, 0.25) }, 9);
    expect([...drawn]).toEqual([Math.fround(1 + 2 * noise[0]!), Math.fround(-1 + 0.5 * noise[1]!)]);
  });
});
