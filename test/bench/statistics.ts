/** Order statistics of measured times. */

/** The value below which the fraction `at` of the samples lies. */
export function quantile(samples: readonly number[], at: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(at * sorted.length))]!;
}

export const median = (samples: readonly number[]): number => quantile(samples, 0.5);
