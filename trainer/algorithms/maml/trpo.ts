/** One trust-region step: the natural gradient's direction by conjugate gradient, its length by the divergence, and a line search. */

import type { Sliced } from '../../../src/contract/sliced.ts';
import { type ConjugateGradientConfig, conjugateGradient, dot } from './conjugate-gradient.ts';

export type TrpoConfig = ConjugateGradientConfig & {
  /** Largest KL divergence of an accepted step. */
  readonly klMax: number;
  /** Added to the divergence's Hessian as a multiple of the identity. */
  readonly damping: number;
  /** Lengths tried, each `backtrackRatio` of the one before. */
  readonly tryCount: number;
  readonly backtrackRatio: number;
};

/** max KL 0.01, 10 iterations, 20 tries of 0.8. Source: Sarafian et al. 2021, released code (from pytorch-maml-rl). */
export const trpoDefaults: TrpoConfig = {
  klMax: 0.01,
  damping: 1e-5,
  iterationCount: 10,
  residualSquaredMin: 1e-10,
  tryCount: 20,
  backtrackRatio: 0.8,
};

export type Candidate = { readonly loss: number; readonly kl: number };

/** The problem of a step: a loss that is 0 at the present parameters, and the divergence from them. */
export type TrpoProblem = {
  /** The present parameters; the step writes the accepted ones, or these again. */
  readonly parameters: Float32Array;
  /** The loss's gradient at the present parameters. */
  readonly gradient: Float64Array;
  /** The product of the divergence's Hessian with a vector, without damping, in an array that the next call may change. */
  product(vector: Float64Array): Float64Array;
  /** At whatever `parameters` holds. */
  evaluate(): Candidate;
};

export type TrpoReport = {
  /** Conjugate gradient's. */
  readonly solution: Float64Array;
  /** Squares of conjugate gradient's residuals, after each iteration. */
  readonly residualsSquared: readonly number[];
  /** That of the solution: the gradient's own square without an iteration. */
  readonly residualSquared: number;
  /** s'(H + damping) s of its solution. */
  readonly curvature: number;
  /** The full step is solution / scale: there the quadratic form of the divergence is klMax. */
  readonly scale: number;
  readonly tries: readonly Candidate[];
  /** Place of the accepted one in `tries`; null if none was, and the parameters are as before. */
  readonly accepted: number | null;
  /** Euclidean length of the accepted step; 0 without one. */
  readonly stepLength: number;
};

/**
 * Moves the parameters by at most the trust region, or not at all: also if it is ended between two slices, each one product or
 * one try.
 *
 * Source: Schulman et al. 2015 (TRPO), appendix C.
 * @throws HyperpolicyError failed_precondition: a product is not finite
 */
export function* trpoStep(problem: TrpoProblem, config: TrpoConfig): Sliced<TrpoReport> {
  const { solution, residual, residualsSquared } = yield* conjugateGradient(
    (vector) => problem.product(vector),
    problem.gradient,
    config,
  );
  // s'(H + damping) s = s'(g - r): the product is there already.
  const curvature = dot(solution, problem.gradient) - dot(solution, residual);
  const scale = Math.sqrt((0.5 * curvature) / config.klMax);
  const report = { solution, residualsSquared, residualSquared: dot(residual, residual), curvature, scale };
  if (!(scale > 0 && scale < Number.POSITIVE_INFINITY)) return { ...report, tries: [], accepted: null, stepLength: 0 };
  const found = yield* searchLine(problem, { direction: solution, length: 1 / scale }, config);
  const factor = found.accepted === null ? 0 : config.backtrackRatio ** found.accepted / scale;
  return { ...report, ...found, stepLength: factor * Math.sqrt(dot(solution, solution)) };
}

/**
 * Tries parameters - ratio^j length direction for j = 0, 1, ... until the loss is better and the divergence inside the trust region;
 * writes the old parameters again if no try is.
 */
export function* searchLine(
  problem: Pick<TrpoProblem, 'parameters' | 'evaluate'>,
  { direction, length }: { readonly direction: Float64Array; readonly length: number },
  { klMax, tryCount, backtrackRatio }: Pick<TrpoConfig, 'klMax' | 'tryCount' | 'backtrackRatio'>,
): Sliced<Pick<TrpoReport, 'tries' | 'accepted'>> {
  const { parameters } = problem;
  const old = parameters.slice();
  const tries: Candidate[] = [];
  let accepted: number | null = null;
  try {
    for (let j = 0; j < tryCount && accepted === null; j++) {
      const factor = length * backtrackRatio ** j;
      for (let i = 0; i < parameters.length; i++) parameters[i] = old[i]! - factor * direction[i]!;
      const candidate = problem.evaluate();
      tries.push(candidate);
      // Written so that NaN is refused.
      if (candidate.loss < 0 && candidate.kl < klMax) accepted = j;
      yield;
    }
    return { tries, accepted };
  } finally {
    if (accepted === null) parameters.set(old);
  }
}
