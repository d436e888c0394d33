/** Order statistics of measured times, and how two sides of alternating rounds compare. */

import type { Random } from '../../src/contract/random.ts';

const ascending = (samples: readonly number[]): number[] => [...samples].sort((a, b) => a - b);

const at = (sorted: readonly number[], fraction: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(fraction * sorted.length))]!;

/**
 * The value below which the fraction `fraction` of the samples lies.
 * @throws RangeError without a sample: there is no such value
 */
export function quantile(samples: readonly number[], fraction: number): number {
  if (samples.length === 0) throw new RangeError('quantile: expected at least one sample, got none');
  return at(ascending(samples), fraction);
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);

export type Summary = { readonly p50: number; readonly p99: number; readonly p999: number };

/** Three quantiles of the samples, of which there is at least one. A p99.9 of less than some thousand samples is nearly their maximum. */
export function summarise(samples: readonly number[]): Summary {
  if (samples.length === 0) throw new RangeError('summarise: expected at least one sample, got none');
  const sorted = ascending(samples);
  return { p50: at(sorted, 0.5), p99: at(sorted, 0.99), p999: at(sorted, 0.999) };
}

/** The median of the ratios round by round, and their quartiles. */
export type Comparison = { readonly ratio: number; readonly low: number; readonly high: number };

/**
 * Compares two sides that were measured in turns: what disturbs a round meets both sides of it, so that the ratio is taken
 * within the round, and then the median over rounds.
 * @param ours one figure a round
 * @param theirs as many
 */
export function compareRounds(ours: readonly number[], theirs: readonly number[]): Comparison {
  if (ours.length !== theirs.length) {
    throw new RangeError(
      `compareRounds: expected as many rounds on both sides, got ${ours.length} and ${theirs.length}`,
    );
  }
  const ratios = ours.map((own, round) => own / theirs[round]!);
  return { ratio: median(ratios), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75) };
}

/** Draws ranks in [0, count): rank r is as frequent as 1 / (r + 1), Zipf's law with exponent 1. */
export function zipfRanks(count: number, random: Random): () => number {
  const cumulative = new Float64Array(count);
  let total = 0;
  for (let rank = 0; rank < count; rank++) {
    total += 1 / (rank + 1);
    cumulative[rank] = total;
  }
  return () => {
    const drawn = random.uniform() * total;
    let low = 0;
    let high = count - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (cumulative[middle]! < drawn) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}
