/** A Gaussian over a latent context, with independent values, as sums of natural parameters: a new transition adds to the sums. */

import { normalRow } from '../../src/contract/random.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import { checkResult, type Sent } from '../call/finite.ts';

/** Sums over the transitions so far, [C] each; without the prior. */
export type FactorSums = {
  readonly transitionCount: number;
  readonly precision: Float64Array;
  /** Of precision x mean. */
  readonly weightedMean: Float64Array;
};

/** [C] each. */
export type Gaussian = { readonly mean: Float32Array; readonly variance: Float32Array };

export const noFactors = (size: number): FactorSums => ({
  transitionCount: 0,
  precision: new Float64Array(size),
  weightedMean: new Float64Array(size),
});

/**
 * The sums with `transitionCount` more factors, [N, C] each; `sums` is not changed. Factors are added one by one, so that the same
 * transitions give the same sums, however they were divided into calls.
 */
export function addFactors(
  sums: FactorSums,
  factors: Readonly<Record<'precision' | 'weightedMean', Float32Array>>,
  transitionCount: number,
): FactorSums {
  const added = (part: 'precision' | 'weightedMean') => {
    const total = Float64Array.from(sums[part]);
    factors[part].forEach((value, i) => {
      total[i % total.length]! += value;
    });
    return total;
  };
  return {
    transitionCount: sums.transitionCount + transitionCount,
    precision: added('precision'),
    weightedMean: added('weightedMean'),
  };
}

/** The Gaussian that the sums and the prior make. */
export function posteriorOf(
  { transitionCount, precision, weightedMean }: FactorSums,
  prior: NonNullable<Manifest['encoder']>['prior'],
): Gaussian {
  const priorPrecision = prior === 'factor' || transitionCount === 0 ? 1 : 0;
  return {
    mean: Float32Array.from(weightedMean, (value, i) => value / (precision[i]! + priorPrecision)),
    variance: Float32Array.from(precision, (value) => 1 / (value + priorPrecision)),
  };
}

/** Sums that float64 holds may make a Gaussian that float32 does not. @throws Error as badResult */
export function checkPosterior(
  { mean, variance, context }: Gaussian & { readonly context: Float32Array },
  sent: Sent,
): void {
  checkResult('posterior mean', mean, sent);
  checkResult('posterior variance', variance, sent);
  checkResult('posterior context', context, sent);
}

/** mean + sqrt(variance) x noise, [C]; the noise is that of row 0 of a sample with this seed. */
export function drawContext({ mean, variance }: Gaussian, seed: number): Float32Array {
  const noise = new Float32Array(mean.length);
  normalRow(seed, 0, mean.length, noise);
  return mean.map((value, i) => value + Math.sqrt(variance[i]!) * noise[i]!);
}
