/** How far returns, and vectors of one length, lie apart. */

import { mean, standardDeviation } from '../report/statistics.ts';

export type ReturnSpread = {
  readonly mean: number;
  /** Of a sample: divides by the count less one; 0 for one value. */
  readonly variance: number;
  readonly standardDeviation: number;
  /** Standard deviation over the mean's absolute value; not finite where the mean is 0. */
  readonly coefficientOfVariation: number;
};

export function returnSpread(returns: readonly number[]): ReturnSpread {
  const [centre, deviation] = [mean(returns), standardDeviation(returns)];
  return {
    mean: centre,
    variance: deviation ** 2,
    standardDeviation: deviation,
    coefficientOfVariation: deviation / Math.abs(centre),
  };
}

export type VectorSpread = {
  /** Mean of the lengths. */
  readonly meanNorm: number;
  /**
   * sqrt(sum |d - mean|^2 / (n - 1)) / |mean|: noise over signal. 0 for one vector or equal ones; not finite where the mean is 0.
   */
  readonly relativeSpread: number;
  /** Mean cosine of all pairs of vectors that are not 0; null where there are fewer than two. */
  readonly meanCosine: number | null;
};

export type VectorSpreadSum = {
  /** @returns the vector's length */
  add(vector: Float64Array): number;
  result(): VectorSpread;
};

/** Of vectors that come one after the other: none is kept. Two arrays of a vector's size are. */
export function createVectorSpread(size: number): VectorSpreadSum {
  const centre = new Float64Array(size);
  /** Sum of the vectors, each divided by its length. */
  const directions = new Float64Array(size);
  let [count, directionCount, normSum, squares] = [0, 0, 0, 0];
  return {
    add(vector) {
      const norm = normOf(vector);
      count += 1;
      normSum += norm;
      // Welford's: equal vectors give exactly 0.
      for (let i = 0; i < size; i++) {
        const before = vector[i]! - centre[i]!;
        centre[i]! += before / count;
        squares += before * (vector[i]! - centre[i]!);
      }
      if (norm > 0) {
        directionCount += 1;
        for (let i = 0; i < size; i++) directions[i]! += vector[i]! / norm;
      }
      return norm;
    },
    result() {
      const deviation = count < 2 ? 0 : Math.sqrt(squares / (count - 1));
      // |sum u|^2 is the count, for each with itself, and the cosines of all ordered pairs.
      const pairs = directionCount * (directionCount - 1);
      return {
        meanNorm: normSum / count,
        relativeSpread: deviation / normOf(centre),
        meanCosine: pairs === 0 ? null : (normOf(directions) ** 2 - directionCount) / pairs,
      };
    },
  };
}

const normOf = (vector: Float64Array): number => Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
