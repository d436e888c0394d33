/** Meta-gradients and Hessian products of the traced graphs against finite differences of the whole objective in float64. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import { viewsOf } from '../../../../src/optim/layout.ts';
import { type MamlConfig, mamlPolicies } from '../../../../trainer/algorithms/maml/config.ts';
import { createMamlNetworks } from '../../../../trainer/algorithms/maml/networks.ts';
import { createTaskComputations } from '../../../../trainer/algorithms/maml/task-computations.ts';
import type { Engine, ItemsDefinition } from '../../../../trainer/engine/engine.ts';
import { policyIn64, type SmallProblem, smallConfig, smallProblem, specs, tracedEngine } from './fixture.ts';
import { divergence, type Flat, outerLoss } from './float64.ts';

const withSteps = (stepCount: number): Pick<MamlConfig, 'inner'> => ({ inner: { stepCount, order: 'second' } });

const cases: Record<string, MamlConfig & { readonly stepCount?: number }> = {
  ...Object.fromEntries(mamlPolicies.map((policy) => [policy, smallConfig(policy)])),
  'maml, two inner steps': { ...smallConfig('maml'), ...withSteps(2) },
  'hyper-maml, three inner steps': {
    ...smallConfig('hyper-maml'),
    ...withSteps(3),
    rate: { start: 0.002, learnt: 'no' },
  },
  'context-maml, a learnt rate per tensor': {
    ...smallConfig('context-maml'),
    rate: { start: 0.3, learnt: 'per-tensor' },
  },
  'hyper-maml, a learnt rate per value, two steps': {
    ...smallConfig('hyper-maml'),
    ...withSteps(2),
    rate: { start: 0.01, learnt: 'per-value' },
  },
  // Parts of 501 steps; in the last, three are absent.
  'hyper-maml, steps in two parts': { ...smallConfig('hyper-maml'), stepCount: 1001 },
};

const epsilon = 1e-5;

/** Moved by epsilon x direction. */
const moved = (flat: Flat, direction: Flat, by: number): Flat =>
  Object.fromEntries(
    Object.entries(flat).map(([name, data]) => [name, data.map((x, i) => x + by * direction[name]![i]!)]),
  );

test.each([
  ['pre', 'update: inner loss of task 1: expected a finite loss, got NaN'],
  ['post', "update: squared norm of the outer loss's gradient: expected a finite loss, got NaN"],
] as const)('a loss of the %s set that is not finite is refused by its name', (set, text) => {
  const { objective, tasks } = smallProblem(smallConfig('hyper-maml'));
  tasks[1]![set].coefficient[0] = Number.NaN;
  expect(() => objective.problem(tasks)).toThrow(text);
  objective.dispose();
});

test.each([
  ['second', 2, 2],
  ['first', 2, undefined],
  ['second', 0, undefined],
] as const)(
  'products of the inner losses, %s order with %i inner steps: kept at %s places',
  (order, stepCount, places) => {
    const config = { ...smallConfig('maml'), inner: { stepCount, order } };
    const networks = createMamlNetworks(config, specs, null);
    const asked: ItemsDefinition<string>[] = [];
    const compileItems: Engine['compileItems'] = (definition) => {
      asked.push(definition);
      return tracedEngine.compileItems!(definition);
    };
    const engine = { ...tracedEngine, compileItems };
    createTaskComputations({ engine, networks, config, stepCount: 14, taskCount: 2 }).dispose();
    expect(asked.map(({ functions }) => functions.innerProduct?.placeCount)).toEqual([places]);
  },
);

test('a product is that of the parameters of the problem, also after a candidate was evaluated', () => {
  const { objective, tasks } = smallProblem(smallConfig('hyper-maml'));
  const problem = objective.problem(tasks);
  const product = problem.product(problem.gradient).slice();
  const old = objective.flat.slice();
  for (let i = 0; i < old.length; i++) objective.flat[i]! += 0.01;
  problem.evaluate();
  objective.flat.set(old);
  expect(problem.product(problem.gradient)).toEqual(product);
  objective.dispose();
});

describe.each(Object.keys(cases))('%s', (name) => {
  const { stepCount, ...config } = cases[name]!;
  let problem: SmallProblem;
  beforeAll(() => {
    problem = smallProblem(config, { stepCount });
  });
  afterAll(() => problem.objective.dispose());

  /** A random direction in every tensor of the policy, and in every rate. */
  function directions(seed: number): { readonly policy: Flat; readonly rates: Flat } {
    const random = createRandom(seed);
    const draw = (data: Float64Array) => data.map(() => random.normal());
    const named = (flat: Flat) => Object.fromEntries(Object.entries(flat).map(([n, data]) => [n, draw(data)]));
    return { policy: named(policyIn64(problem.objective)), rates: named(problem.reference.rates) };
  }

  /** Mean outer loss with policy and rates moved. */
  function lossAt(policy: Flat, rates: Flat): number {
    const { tasks, reference } = problem;
    return tasks.reduce((sum, task) => sum + outerLoss(policy, task, { ...reference, rates }), 0) / tasks.length;
  }

  const only = (flat: Flat, kept: string): Flat =>
    Object.fromEntries(Object.entries(flat).map(([n, data]) => [n, n === kept ? data : data.map(() => 0)]));

  /** Slopes along one direction per tensor: by central differences, and by a gradient. */
  function slopes(gradient: Float64Array): { readonly expected: number; readonly actual: number }[] {
    const { objective, reference } = problem;
    const views = viewsOf(objective.layout, Float32Array.from(gradient));
    const policy = policyIn64(objective);
    const { rates } = reference;
    const along = directions(5);
    const slope = (tensor: string, direction: Float64Array) =>
      direction.reduce((sum, value, i) => sum + value * views[tensor]![i]!, 0);
    const inPolicy = Object.keys(policy).map((tensor) => {
      const at = (by: number) => lossAt(moved(policy, only(along.policy, tensor), by), rates);
      return {
        expected: (at(epsilon) - at(-epsilon)) / (2 * epsilon),
        actual: slope(`policy.${tensor}`, along.policy[tensor]!),
      };
    });
    if (config.rate.learnt === 'no') return inPolicy;
    const inRates = Object.keys(rates).map((tensor) => {
      const at = (by: number) => lossAt(policy, moved(rates, only(along.rates, tensor), by));
      return {
        expected: (at(epsilon) - at(-epsilon)) / (2 * epsilon),
        actual: slope(`rate.${tensor}`, along.rates[tensor]!),
      };
    });
    return [...inPolicy, ...inRates];
  }

  /** Largest difference on the scale of the largest slope. */
  function worst(gradient: Float64Array): number {
    const found = slopes(gradient);
    const scale = Math.max(...found.map(({ expected }) => Math.abs(expected)));
    return Math.max(...found.map(({ expected, actual }) => Math.abs(actual - expected))) / scale;
  }

  test('the meta-gradient agrees with finite differences in every tensor', () => {
    expect(worst(problem.objective.problem(problem.tasks).gradient)).toBeLessThan(1e-5);
  });

  test("a candidate's divergence agrees", () => {
    const { objective, tasks, reference } = problem;
    const old = policyIn64(objective);
    const candidate = objective.problem(tasks);
    const start = objective.flat.slice();
    for (const [tensor, data] of Object.entries(directions(8).policy)) {
      data.forEach((value, i) => {
        objective.parameters[`policy.${tensor}`]![i]! += 0.03 * value;
      });
    }
    const next = policyIn64(objective);
    const { kl } = candidate.evaluate();
    objective.flat.set(start);
    const expected = tasks.reduce((sum, task) => sum + divergence(next, old, task, reference), 0) / tasks.length;
    expect(expected).toBeGreaterThan(1e-4);
    expect(Math.abs(kl / expected - 1)).toBeLessThan(1e-4);
  });

  test.runIf(config.inner.stepCount > 0)('the gradient of first order does not', () => {
    const first = smallProblem({ ...config, inner: { ...config.inner, order: 'first' } });
    expect(worst(first.objective.problem(first.tasks).gradient)).toBeGreaterThan(1e-2);
    first.objective.dispose();
  });

  test.runIf(config.rate.learnt === 'no')(
    "products with the divergence's Hessian agree with its second differences",
    () => {
      const { objective, tasks, reference } = problem;
      const old = policyIn64(objective);
      const vectors = [directions(6).policy, directions(7).policy];
      const flatOf = (direction: Flat) => {
        const flat = new Float32Array(objective.layout.length);
        const views = viewsOf(objective.layout, flat);
        for (const [tensor, data] of Object.entries(direction)) views[`policy.${tensor}`]!.set(data);
        return Float64Array.from(flat);
      };
      const meanKl = (direction: Flat) => {
        const h = 1e-5;
        const sides = [h, -h].flatMap((by) =>
          tasks.map((task) => divergence(moved(old, direction, by), old, task, reference)),
        );
        return sides.reduce((sum, kl) => sum + kl, 0) / tasks.length / h ** 2;
      };
      const sum = moved(vectors[0]!, vectors[1]!, 1);
      const difference = moved(vectors[0]!, vectors[1]!, -1);
      const product = objective.problem(tasks).product(flatOf(vectors[0]!)).slice();
      const along = (direction: Flat) => flatOf(direction).reduce((total, value, i) => total + value * product[i]!, 0);
      // v'Hv, and w'Hv from (v + w)'H(v + w) - (v - w)'H(v - w) = 4 w'Hv.
      const [vv, wv] = [meanKl(vectors[0]!), (meanKl(sum) - meanKl(difference)) / 4];
      expect(Math.abs(along(vectors[0]!) / vv - 1)).toBeLessThan(1e-4);
      expect(Math.abs(along(vectors[1]!) - wv) / vv).toBeLessThan(1e-4);
    },
  );
});
