/** The trust-region step and its pieces against dense solutions of small problems. */

import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import { runToEnd } from '../../../../src/contract/sliced.ts';
import { conjugateGradient } from '../../../../trainer/algorithms/maml/conjugate-gradient.ts';
import { searchLine, type TrpoProblem, trpoDefaults, trpoStep } from '../../../../trainer/algorithms/maml/trpo.ts';
import { policyIn64, smallConfig, smallProblem } from './fixture.ts';
import { divergence } from './float64.ts';

type Dense = readonly Float64Array[];

const times = (a: Dense, v: ArrayLike<number>): Float64Array =>
  Float64Array.from(a, (row) => row.reduce((sum, value, i) => sum + value * v[i]!, 0));
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

/** Gaussian elimination with the largest pivot. */
function solve(a: Dense, b: ArrayLike<number>): Float64Array {
  const size = b.length;
  const rows = a.map((row, i) => [...row, b[i]!]);
  for (let k = 0; k < size; k++) {
    const pivot = rows
      .slice(k)
      .reduce((best, row, i) => (Math.abs(row[k]!) > Math.abs(rows[best]![k]!) ? k + i : best), k);
    [rows[k], rows[pivot]] = [rows[pivot]!, rows[k]!];
    for (let i = k + 1; i < size; i++) {
      const factor = rows[i]![k]! / rows[k]![k]!;
      for (let j = k; j <= size; j++) rows[i]![j]! -= factor * rows[k]![j]!;
    }
  }
  const x = new Float64Array(size);
  for (let i = size - 1; i >= 0; i--) {
    x[i] = (rows[i]![size]! - dot(rows[i]!.slice(i + 1, size), x.subarray(i + 1))) / rows[i]![i]!;
  }
  return x;
}

/** M M' / size + 0.1: positive definite. */
function definite(size: number, seed: number): Dense {
  const random = createRandom(seed);
  const m = Array.from({ length: size }, () => Float64Array.from({ length: size }, () => random.normal()));
  return m.map((row, i) => Float64Array.from(m, (other, j) => dot(row, other) / size + (i === j ? 0.1 : 0)));
}

const vector = (size: number, seed: number): Float64Array => {
  const random = createRandom(seed);
  return Float64Array.from({ length: size }, () => random.normal());
};

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  const scale = Math.sqrt(dot(expected, expected));
  expect(actual.length).toBe(expected.length);
  Array.from(expected).forEach((value, i) => {
    expect(Math.abs(actual[i]! - value) / scale).toBeLessThan(tolerance);
  });
}

describe('conjugate gradient', () => {
  const size = 8;
  const [a, b] = [definite(size, 1), vector(size, 2)];

  test('with as many iterations as dimensions is the dense solution', () => {
    const { solution, residual, residualsSquared } = runToEnd(
      conjugateGradient((v) => times(a, v), b, {
        iterationCount: size,
        residualSquaredMin: 0,
      }),
    );
    expectClose(solution, solve(a, b), 1e-9);
    const image = times(a, solution);
    expectClose(
      Float64Array.from(residual, (value, i) => value + image[i]!),
      b,
      1e-12,
    );
    expect(residualsSquared).toHaveLength(size);
    expect(residualsSquared.at(-1)!).toBeLessThan(1e-18);
  });

  test('ends as soon as the residual is small', () => {
    const { residualsSquared } = runToEnd(
      conjugateGradient((v) => times(a, v), b, {
        iterationCount: 100,
        residualSquaredMin: 1e-6,
      }),
    );
    expect(residualsSquared.at(-1)!).toBeLessThan(1e-6);
    expect(residualsSquared.slice(0, -1).every((value) => value >= 1e-6)).toBe(true);
  });

  test('stays at 0 where a product is not of a positive definite matrix', () => {
    const { solution } = runToEnd(conjugateGradient((v) => v.map((value) => -value), b, trpoDefaults));
    expect([...solution]).toEqual(new Array(size).fill(0));
  });
});

/** loss = g'x + curl |x|^2 and kl = x'A x / 2 around the start. */
function quadratic({ curl = 0, seed = 3 } = {}): { problem: TrpoProblem; a: Dense; start: Float32Array } {
  const size = 6;
  const [a, gradient] = [definite(size, seed), vector(size, seed + 1)];
  const parameters = Float32Array.from(vector(size, seed + 2));
  const start = parameters.slice();
  return {
    a,
    start,
    problem: {
      parameters,
      gradient,
      product: (v) => times(a, v),
      evaluate() {
        const x = parameters.map((value, i) => value - start[i]!);
        return { loss: dot(gradient, x) + curl * dot(x, x), kl: dot(x, times(a, x)) / 2 };
      },
    },
  };
}

describe('the trust-region step', () => {
  const config = { ...trpoDefaults, iterationCount: 6, damping: 0.01 };
  const damped = (a: Dense) => a.map((row, i) => row.map((value, j) => value + (i === j ? config.damping : 0)));

  test('is the dense natural gradient, as long as the trust region allows', () => {
    const { problem, a, start } = quadratic();
    const s = solve(damped(a), problem.gradient);
    const curvature = dot(s, times(damped(a), s));
    const scale = Math.sqrt((0.5 * curvature) / config.klMax);
    const report = runToEnd(trpoStep(problem, config));
    expect(report.curvature).toBeCloseTo(curvature, 9);
    expect(report.scale).toBeCloseTo(scale, 9);
    // Without damping the full step has a divergence of exactly klMax; with it, a little less.
    expect(report.accepted).toBe(0);
    expectClose(
      problem.parameters,
      start.map((value, i) => value - s[i]! / scale),
      1e-6,
    );
    const { kl, loss } = problem.evaluate();
    expect(kl).toBeLessThan(config.klMax);
    expect(kl).toBeGreaterThan(0.9 * config.klMax);
    expect(loss).toBeLessThan(0);
  });

  test('is shorter where the loss is only better nearer, by powers of the ratio', () => {
    const { problem, a, start } = quadratic({ curl: 40 });
    const s = solve(damped(a), problem.gradient);
    const report = runToEnd(trpoStep(problem, config));
    expect(report.accepted).toBeGreaterThan(0);
    const refused = report.tries.slice(0, -1);
    expect(refused.every(({ loss, kl }) => loss >= 0 || kl >= config.klMax)).toBe(true);
    const length = config.backtrackRatio ** report.accepted! / report.scale;
    expectClose(
      problem.parameters,
      start.map((value, i) => value - length * s[i]!),
      1e-6,
    );
    expect(report.stepLength).toBeCloseTo(length * Math.sqrt(dot(s, s)), 9);
  });

  test('has the residual of no step where the gradient is below the limit of the residual', () => {
    const { problem } = quadratic();
    problem.gradient.fill(1e-6);
    const { residualsSquared, residualSquared, stepLength } = runToEnd(trpoStep(problem, config));
    expect(residualsSquared).toEqual([]);
    expect(residualSquared).toBeCloseTo(6e-12, 20);
    expect(stepLength).toBe(0);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY])('is refused where a product has %f', (value) => {
    const { problem, start } = quadratic();
    const product = (v: Float64Array) => v.map(() => value);
    expect(() => runToEnd(trpoStep({ ...problem, product }, config))).toThrow(
      /^update: curvature along a direction of conjugate gradient: expected a finite loss/,
    );
    expect(problem.parameters).toEqual(start);
  });

  test.each([
    ['no length is better', { loss: 1, kl: 0 }],
    ['every divergence is too large', { loss: -1, kl: 1 }],
    ['the loss is not a number', { loss: Number.NaN, kl: 0 }],
  ])('restores the parameters to the bit where %s', (_, candidate) => {
    const { problem, start } = quadratic();
    const report = runToEnd(trpoStep({ ...problem, evaluate: () => candidate }, config));
    expect(report.accepted).toBeNull();
    expect(report.tries).toHaveLength(config.tryCount);
    expect(problem.parameters).toEqual(start);
  });

  test('does not move where there is no gradient', () => {
    const { problem, start } = quadratic();
    const report = runToEnd(trpoStep({ ...problem, gradient: new Float64Array(6) }, config));
    expect(report).toMatchObject({ tries: [], accepted: null });
    expect(problem.parameters).toEqual(start);
  });

  test('the search goes down the direction', () => {
    const { problem, start } = quadratic();
    const report = runToEnd(searchLine(problem, { direction: problem.gradient, length: 0.01 }, config));
    expect(report.accepted).toBe(0);
    expectClose(
      problem.parameters,
      start.map((value, i) => value - 0.01 * problem.gradient[i]!),
      1e-6,
    );
  });
});

describe.each(['maml', 'multi-task-hyper'] as const)('the Hessian of %s', (policy) => {
  test('is the dense one: symmetric, of no negative curvature, and second differences in every entry', () => {
    const hyper = { trunkSizes: [2], dynamicHiddenSizes: [2] };
    const small = smallProblem({ ...smallConfig(policy), hiddenSizes: [2], hyper });
    const { objective, tasks, reference } = small;
    const places = objective.layout.entries.flatMap(({ name, offset, size }) =>
      Array.from({ length: size }, (_, i) => ({ name: name.slice('policy.'.length), i, at: offset + i })),
    );
    const problem = objective.problem(tasks);
    const dense = places.map(({ at }) => {
      const unit = new Float64Array(objective.layout.length);
      unit[at] = 1;
      const image = problem.product(unit);
      return Float64Array.from(places, (place) => image[place.at]!);
    });
    const scale = Math.max(...dense.flatMap((row) => [...row].map(Math.abs)));
    const old = policyIn64(objective);
    const h = 1e-5;
    /** KL at the old parameters moved by h in both places, mean of both signs; KL itself is 0 there, and so is its slope. */
    const klAt = (...moved: readonly (readonly [number, number])[]) => {
      const sides = [h, -h].map((by) => {
        const next = Object.fromEntries(Object.entries(old).map(([name, data]) => [name, data.slice()]));
        for (const [n, factor] of moved) next[places[n]!.name]![places[n]!.i]! += factor * by;
        return tasks.reduce((sum, task) => sum + divergence(next, old, task, reference), 0) / tasks.length;
      });
      return (sides[0]! + sides[1]!) / 2;
    };
    dense.forEach((row, n) => {
      expect(row[n]!).toBeGreaterThan(-1e-6 * scale);
      row.forEach((value, m) => {
        expect(Math.abs(value - dense[m]![n]!) / scale).toBeLessThan(1e-5);
        if (m > n || (n + m) % 3 > 0) return;
        const expected = (klAt([n, 1], [m, 1]) - klAt([n, 1], [m, -1])) / (2 * h * h);
        expect(Math.abs(value - expected) / scale).toBeLessThan(1e-4);
      });
    });
    objective.dispose();
  });
});
