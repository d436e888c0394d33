/** Histograms with bins of one width, and how far apart two of them are. */

/** Equal bins over a closed range. */
export type Bins = { readonly low: number; readonly high: number; readonly count: number };

/** Bins from the smallest to the largest of all values. @param values at least one */
export function commonBins(values: readonly Float32Array[], count: number): Bins {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const list of values) {
    for (const value of list) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  return { low, high, count };
}

/** The same range with its centre where it is, `share` times as wide. */
export function widened({ low, high, count }: Bins, share: number): Bins {
  const [centre, half] = [(low + high) / 2, ((high - low) / 2) * share];
  return { low: centre - half, high: centre + half, count };
}

/** The fraction of the values in each bin; values beyond the range are in none. Where all bins are one point, the first has it. */
export function fractionsIn({ low, high, count }: Bins, values: Float32Array): Float64Array {
  const counts = new Float64Array(count);
  const scale = high > low ? count / (high - low) : 0;
  for (const value of values) {
    if (value >= low && value <= high) counts[Math.min(count - 1, Math.floor((value - low) * scale))]!++;
  }
  return counts.map((inBin) => inBin / values.length);
}

/** Lower edge of a bin; of the one after the last, the upper end. */
export const edgeOf = ({ low, high, count }: Bins, bin: number): number => low + ((high - low) * bin) / count;

/** Total-variation distance of two distributions over the same bins: half of sum |p - q|, 0 if equal, 1 if no bin has both. */
export function totalVariation(p: Float64Array, q: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < p.length; i++) sum += Math.abs(p[i]! - q[i]!);
  return sum / 2;
}
