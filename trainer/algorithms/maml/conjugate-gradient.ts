/**
 * Conjugate gradient for A x = b with A given by its products. Vectors and dot products are float64: with float32 ones the search
 * directions lose their conjugacy after a few iterations.
 */

import type { Sliced } from '../../../src/advantages/policy-gradient.ts';

export type ConjugateGradientConfig = {
  readonly iterationCount: number;
  /** Ends as soon as the residual's square is below. */
  readonly residualSquaredMin: number;
};

export type ConjugateGradientResult = {
  readonly solution: Float64Array;
  /** b - A x of the solution, as the iterations have it. */
  readonly residual: Float64Array;
  /** |residual|^2 after each iteration. */
  readonly residualsSquared: readonly number[];
};

/**
 * Starts at 0; a slice is one product. Ends early if a direction has no positive curvature, which a positive definite A does not have.
 *
 * Source: Hestenes and Stiefel 1952; as in Schulman et al. 2015 (TRPO), appendix C.
 * @param product A v, in an array that the next call may change
 */
export function* conjugateGradient(
  product: (vector: Float64Array) => Float64Array,
  b: Float64Array,
  { iterationCount, residualSquaredMin }: ConjugateGradientConfig,
): Sliced<ConjugateGradientResult> {
  const solution = new Float64Array(b.length);
  const residual = b.slice();
  const direction = b.slice();
  const residualsSquared: number[] = [];
  let squared = dot(residual, residual);
  for (let i = 0; i < iterationCount && squared >= residualSquaredMin; i++) {
    const image = product(direction);
    yield;
    const curvature = dot(direction, image);
    if (!(curvature > 0)) break;
    const length = squared / curvature;
    addScaled(solution, direction, length);
    addScaled(residual, image, -length);
    const next = dot(residual, residual);
    residualsSquared.push(next);
    const ratio = next / squared;
    for (let n = 0; n < direction.length; n++) direction[n] = residual[n]! + ratio * direction[n]!;
    squared = next;
  }
  return { solution, residual, residualsSquared };
}

export function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** a += factor b */
export function addScaled(a: Float64Array, b: Float64Array | Float32Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i]! += factor * b[i]!;
}
