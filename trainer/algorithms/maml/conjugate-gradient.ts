/**
 * Conjugate gradient for A x = b with A given by its products. Vectors and dot products are float64: with float32 ones the search
 * directions lose their conjugacy after a few iterations.
 */

import type { Sliced } from '../../../src/contract/sliced.ts';
import { requireFiniteLoss } from '../../off-policy/finite-loss.ts';

export type ConjugateGradientConfig = {
  readonly iterationCount: number;
  /** Added to A as a multiple of the identity; 0 unless given. */
  readonly damping?: number;
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
 * @throws HyperpolicyError failed_precondition: a product is not finite
 */
export function* conjugateGradient(
  product: (vector: Float64Array) => Float64Array,
  b: Float64Array,
  { iterationCount, damping = 0, residualSquaredMin }: ConjugateGradientConfig,
): Sliced<ConjugateGradientResult> {
  const solution = new Float64Array(b.length);
  const residual = b.slice();
  const direction = b.slice();
  const residualsSquared: number[] = [];
  let squared = dot(residual, residual);
  for (let i = 0; i < iterationCount && squared >= residualSquaredMin; i++) {
    const image = product(direction);
    yield;
    const curvature = dampedDot(direction, image, damping);
    requireFiniteLoss('curvature along a direction of conjugate gradient', curvature);
    if (curvature <= 0) break;
    const next = advance({ solution, residual }, { direction, image, damping }, squared / curvature);
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

/** direction' (image + damping direction), without writing the damped image: to write it takes as long as to read it once more. */
function dampedDot(direction: Float64Array, image: Float64Array, damping: number): number {
  let sum = 0;
  for (let i = 0; i < direction.length; i++) sum += direction[i]! * (image[i]! + damping * direction[i]!);
  return sum;
}

/**
 * Solution and residual after a step along the direction, in one pass: a large policy's vectors are in no cache.
 * @returns |residual|^2
 */
function advance(
  { solution, residual }: Pick<ConjugateGradientResult, 'solution' | 'residual'>,
  { direction, image, damping }: { direction: Float64Array; image: Float64Array; damping: number },
  length: number,
): number {
  let squared = 0;
  for (let i = 0; i < solution.length; i++) {
    const along = direction[i]!;
    const rest = residual[i]! - length * (image[i]! + damping * along);
    solution[i]! += length * along;
    residual[i] = rest;
    squared += rest * rest;
  }
  return squared;
}

/** a = factor b */
export function setScaled(a: Float64Array, b: Float32Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i] = factor * b[i]!;
}

/** a += factor b */
export function addScaled(a: Float64Array, b: Float64Array | Float32Array, factor: number): void {
  for (let i = 0; i < a.length; i++) a[i]! += factor * b[i]!;
}
