/**
 * Statistics over several seeds: mean, standard deviation, interquartile mean, and a bootstrap interval.
 *
 * Source: Agarwal et al. 2021 (rliable): the interquartile mean is that of scipy's `trim_mean` with a quarter cut at each end; the
 * interval is the percentile bootstrap's at 95%.
 */

import type { Random } from '../../src/contract/random.ts';

export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard deviation of a sample: divides by the count less one. 0 for one value. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const centre = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (values.length - 1));
}

/** Mean without the lowest and the highest quarter, each rounded down to whole values. */
export function interquartileMean(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const cut = Math.floor(sorted.length / 4);
  return mean(sorted.slice(cut, sorted.length - cut));
}

export type Interval = { readonly low: number; readonly high: number };

/**
 * @param statistic of a sample of the same size, drawn with replacement
 * @param random draws the samples
 */
export function bootstrapInterval(
  values: readonly number[],
  statistic: (values: readonly number[]) => number,
  { random, sampleCount = 10_000, level = 0.95 }: { random: Random; sampleCount?: number; level?: number },
): Interval {
  const drawn = new Float64Array(sampleCount);
  for (let i = 0; i < sampleCount; i++) drawn[i] = statistic(values.map(() => values[random.integer(values.length)]!));
  drawn.sort();
  return { low: quantile(drawn, (1 - level) / 2), high: quantile(drawn, (1 + level) / 2) };
}

/** Between two values by their distance, as numpy's default. */
function quantile(sorted: Float64Array, share: number): number {
  const at = share * (sorted.length - 1);
  const [below, above] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return below + (above - below) * (at - Math.floor(at));
}
