/** MAML's every quantity against figures computed in float64: advantages, adaptation, meta-gradients, Hessian products, TRPO steps. */

import type * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { baselineValues } from '../../../../src/advantages/linear-baseline.ts';
import {
  discountedReturns,
  generalisedAdvantages,
  policyGradientCoefficients,
} from '../../../../src/advantages/policy-gradient.ts';
import { runToEnd } from '../../../../src/contract/sliced.ts';
import { under } from '../../../../src/nn/parameters.ts';
import { createLayout, viewsOf } from '../../../../src/optim/layout.ts';
import { valueAndGradients } from '../../../../src/trace/differentiate.ts';
import { adaptationPath } from '../../../../trainer/algorithms/maml/inner-step.ts';
import { evaluateSteps, policyGradientLoss, type TaskSteps } from '../../../../trainer/algorithms/maml/losses.ts';
import { createMetaObjective, type MetaObjective } from '../../../../trainer/algorithms/maml/meta-objective.ts';
import { createTaskArrays, type StepArrays, type TaskArrays } from '../../../../trainer/algorithms/maml/steps.ts';
import { searchLine, type TrpoReport, trpoStep } from '../../../../trainer/algorithms/maml/trpo.ts';
import { createTracedEngine } from '../../../../trainer/engine/traced.ts';
import { expectList } from '../../off-policy/compare.ts';
import {
  caseNetworks,
  episodesOf,
  type Figures,
  golden,
  parameter,
  paramsOf,
  rates,
  type SetName,
  type TrpoFigures,
  type Try,
  vector,
} from './golden.ts';

const engine = createTracedEngine({ threadCount: 1 });
const { setup, constants } = golden;
const capacity = setup.episodes * setup.steps;
const advantageConfig = { discount: constants.gamma, lambda: constants.lambda, weighting: 'steps' } as const;

const norm = (values: ArrayLike<number>): number => Math.hypot(...Array.from(values));

/**
 * The norm, and the first values on the scale of the tensor's norm.
 * @param scaleMin of a tensor that is small beside the whole
 */
function expectFigures(
  actual: Float32Array | Float64Array,
  [l2, ...first]: Figures,
  tolerance: number,
  what: string,
  scaleMin = 0,
) {
  // Units of a ReLU that are all off have a gradient of 0.
  const scale = Math.max(l2!, scaleMin) || 1;
  expect(Math.abs(norm(actual) - l2!) / scale, `${what} norm`).toBeLessThan(tolerance);
  first.forEach((value, i) => {
    expect(Math.abs(actual[i]! - value) / scale, `${what}[${i}]`).toBeLessThan(tolerance);
  });
}

/** Within a relative tolerance, or 1e-6: small divergences cancel in float32. */
const expectNear = (actual: number, expected: number, tolerance: number, what: string): void =>
  expect(Math.abs(actual - expected), what).toBeLessThanOrEqual(Math.max(tolerance * Math.abs(expected), 1e-6));

function stepArrays(set: SetName, task: number): StepArrays {
  const { observation, action, reward, lengths } = episodesOf(set, task);
  const arrays = createTaskArrays({ observationSize: setup.observation_size, actionSize: setup.action_size }, capacity)[
    set
  ];
  arrays.observation.set(observation);
  arrays.action.set(action);
  arrays.coefficient.set(runToEnd(policyGradientCoefficients({ observation, reward, lengths }, advantageConfig)));
  arrays.weight.fill(1 / reward.length, 0, reward.length);
  return arrays;
}

describe.each(['pre', 'post'] as const)('the %s set', (set) => {
  test.each(setup.contexts.map((_, task) => task))('of task %i: returns, baseline, advantages', (task) => {
    const { observation, reward, lengths } = episodesOf(set, task);
    const figures = golden.baseline[set][task]!;
    const returns = discountedReturns(reward, lengths, constants.gamma);
    expectList(returns, figures.returns, 'returns', 1e-7);
    const values = runToEnd(baselineValues({ observation, lengths }, returns));
    expectList(values, figures.predictions, 'predictions', 1e-6);
    const advantages = (lambda: number) =>
      generalisedAdvantages({ reward, values, lengths }, { discount: constants.gamma, lambda });
    expectList(advantages(constants.lambda), figures.advantages, 'advantages', 1e-6);
    expectList(advantages(0.9), figures.advantages_lambda_0_9, 'advantages with lambda 0.9', 1e-6);
    const coefficients = runToEnd(policyGradientCoefficients({ observation, reward, lengths }, advantageConfig));
    const normalised = Array.from(coefficients, (coefficient) => coefficient * reward.length);
    expectList(normalised, figures.normalised, 'normalised', 1e-6);
  });

  test.each(setup.contexts.map((_, task) => task))('of task %i has the inputs of the file', (task) => {
    const { observation, action, reward } = episodesOf(set, task);
    const figures = golden.inputs[set][task]!;
    const size = setup.observation_size;
    expectList(observation.subarray(0, size), figures.observation_first as number[], 'first observation', 1e-6);
    expectList(observation.subarray(-size), figures.observation_last as number[], 'last observation', 1e-6);
    expectList(action.subarray(-setup.action_size), figures.action_last as number[], 'last action', 1e-6);
    expectNear(reward.at(-1)!, figures.reward_last as number, 1e-6, 'last reward');
  });
});

describe.each(Object.keys(golden.cases))('%s', (name) => {
  const figures = golden.cases[name]!;
  const { networks, config, ours, toOurs, toTheirs } = caseNetworks(name);
  const params = paramsOf(name);
  const isLearnt = config.rate.learnt !== 'no';
  let objective: MetaObjective;
  let tasks: TaskArrays[];

  const fill = () => {
    params.forEach((_, k) => {
      objective.parameters[`policy.${ours(k)}`]!.set(toOurs(k, parameter(name, k)));
      if (!isLearnt) return;
      const rate = rates(name, k);
      objective.parameters[`rate.${ours(k)}`]!.set(rate.length === 1 ? rate : toOurs(k, rate));
    });
  };
  const create = (order: 'first' | 'second') =>
    createMetaObjective({
      engine,
      networks,
      config: { ...config, inner: { ...config.inner, order } },
      stepCount: capacity,
    });
  /** v over all meta-parameters; 0 for rates. */
  const direction = (): Float64Array => {
    const flat = new Float32Array(objective.layout.length);
    const views = viewsOf(objective.layout, flat);
    params.forEach((_, k) => {
      views[`policy.${ours(k)}`]!.set(toOurs(k, vector(name, k)));
    });
    return Float64Array.from(flat);
  };
  /** Our flat vector as the file's tensors. */
  const tensors = (flat: Float64Array | Float32Array): Float32Array[] => {
    const views = viewsOf(objective.layout, Float32Array.from(flat));
    return params.map((_, k) => toTheirs(k, views[`policy.${ours(k)}`]!));
  };
  const expectTensors = (
    flat: Float64Array,
    expected: readonly Figures[],
    tolerance: number,
    what: string,
    scaleMin?: number,
  ) =>
    tensors(flat).forEach((tensor, k) => {
      expectFigures(tensor, expected[k]!, tolerance, `${what} ${params[k]!.name}`, scaleMin);
    });

  beforeAll(() => {
    tasks = setup.contexts.map((context, task) => ({
      ...createTaskArrays(networks, capacity),
      context: Float32Array.from(context),
      pre: stepArrays('pre', task),
      post: stepArrays('post', task),
    }));
    objective = create('second');
    fill();
  });
  afterAll(() => objective.dispose());

  test('adaptation: loss, gradient, adapted parameters, and the log-densities after it', () => {
    const layout = createLayout(objective.shapes);
    const results = tasks.map((task) => {
      const path = new Float32Array(layout.length);
      const slope = new Float32Array(layout.length);
      const [loss, logProb] = [new Float32Array(1), new Float32Array(capacity)];
      const prefixed = (prefix: string, views: Record<string, Float32Array>) =>
        Object.fromEntries(
          Object.entries(under('policy', views)).map(([parameterName, view]) => [`${prefix}.${parameterName}`, view]),
        );
      const input = (data: Float32Array, columns?: number) => ({
        data,
        shape: columns === undefined ? [data.length] : [data.length / columns, columns],
      });
      const stepInputs = (set: SetName) => ({
        [`${set}.observation`]: input(task[set].observation, networks.observationSize),
        [`${set}.action`]: input(task[set].action, networks.actionSize),
        [`${set}.coefficient`]: input(task[set].coefficient),
      });
      const computation = engine.compile({
        name: 'adaptation',
        inputs: {
          ...Object.fromEntries(
            Object.entries(objective.parameters).map(([n, data]) => [n, { data, shape: objective.shapes[n]! }]),
          ),
          ...stepInputs('pre'),
          ...stepInputs('post'),
          context: input(task.context, task.context.length),
        },
        outputs: {
          ...prefixed('adapted', viewsOf(layout, path)),
          ...prefixed('d', viewsOf(layout, slope)),
          loss,
          logProb,
        },
        fn: (inputs) => {
          const taskPolicy = {
            policy: networks.policy,
            context: networks.contextSize > 0 ? (inputs.context as tf.Tensor2D) : undefined,
          };
          const at = (parameters: Readonly<Record<string, tf.Tensor>>) =>
            policyGradientLoss(taskPolicy, parameters, under('pre', inputs) as unknown as TaskSteps);
          const rate = config.rate.learnt === 'no' ? fixedRates(inputs) : under('rate', inputs);
          const { value, gradients } = valueAndGradients(at, under('policy', inputs));
          const adapted = adaptationPath(at, under('policy', inputs), rate, config.inner).at(-1)!;
          const post = under('post', inputs) as unknown as TaskSteps;
          return {
            loss: value,
            logProb: evaluateSteps(taskPolicy, adapted, post).logProb,
            ...Object.fromEntries(Object.entries(adapted).map(([n, tensor]) => [`adapted.${n}`, tensor])),
            ...Object.fromEntries(Object.entries(gradients).map(([n, tensor]) => [`d.${n}`, tensor])),
          };
        },
      });
      computation.run();
      computation.dispose();
      return { loss: loss[0]!, adapted: tensors(path), gradient: tensors(slope), logProb };
    });
    results.forEach(({ loss, adapted, gradient, logProb }, task) => {
      const expected = figures.inner?.[task];
      if (expected !== undefined) {
        expectNear(loss, expected.loss, 1e-5, 'inner loss');
        params.forEach(({ name: theirs }, k) => {
          if (expected.gradient) expectFigures(gradient[k]!, expected.gradient[k]!, 1e-5, `inner gradient ${theirs}`);
          expected.adapted[k]!.forEach((value, i) => {
            expect(Math.abs(adapted[k]![i]! - value), `adapted ${theirs}[${i}]`).toBeLessThan(1e-6);
          });
        });
      }
      const valid = figures.log_prob_after[task]!;
      expectList(logProb.subarray(0, valid.length), valid, 'log-densities after adaptation', 1e-5);
    });
  });

  const fixedRates = (inputs: Readonly<Record<string, tf.Tensor>>) =>
    Object.fromEntries(Object.keys(under('policy', inputs)).map((n) => [n, config.rate.start as unknown as tf.Tensor]));

  test('the meta-gradient of second order', () => {
    const { gradient } = objective.problem(tasks);
    expectTensors(gradient, figures.outer.gradient, 1e-5, 'gradient');
    const { rate_gradient: expected } = figures.outer;
    if (expected === undefined) return;
    const views = viewsOf(objective.layout, Float32Array.from(gradient));
    expected.forEach((value, k) => {
      const actual = views[`rate.${ours(k)}`]!;
      if (typeof value === 'number') expectNear(actual[0]!, value, 1e-5, `rate gradient ${k}`);
      else expectFigures(toTheirs(k, actual), value, 1e-5, `rate gradient ${k}`);
    });
  });

  test.runIf(figures.outer.gradient_first_order)('the meta-gradient of first order is another', () => {
    const { flat } = objective;
    const first = create('first');
    first.flat.set(flat);
    const { gradient } = first.problem(tasks);
    expectTensors(gradient, figures.outer.gradient_first_order!, 1e-5, 'first-order gradient');
    if (figures.hessian?.Hv_first_order_norm !== undefined) {
      const product = damped(first, direction());
      expectNear(norm(product), figures.hessian.Hv_first_order_norm, 1e-5, 'first-order Hv');
    }
    first.dispose();
  });

  test('loss and divergence at displaced parameters', () => {
    const problem = objective.problem(tasks);
    const v = direction();
    for (let i = 0; i < v.length; i++) problem.parameters[i]! += setup.displacement * v[i]!;
    const { loss, kl } = problem.evaluate();
    fill();
    expectNear(loss, figures.displaced.loss, 1e-3, 'loss');
    expectNear(kl, figures.displaced.kl, 1e-3, 'kl');
  });

  test.runIf(figures.hessian)("the product of the divergence's Hessian with a vector, through the adaptation", () => {
    const v = direction();
    const product = damped(objective, v);
    expectTensors(product, figures.hessian!.Hv, 1e-5, 'Hv');
    const undamped = product.reduce((sum, value, i) => sum + value * v[i]! - constants.damping * v[i]! ** 2, 0);
    expectNear(undamped, figures.hessian!.vHv, 1e-5, 'vHv');
  });

  function damped(at: MetaObjective, v: Float64Array): Float64Array {
    const product = at.problem(tasks).product(v);
    return product.map((value, i) => value + constants.damping * v[i]!);
  }

  function expectTries({ tries, accepted }: Pick<TrpoReport, 'tries' | 'accepted'>, expected: Try, tolerance: number) {
    expect(tries).toHaveLength(expected.loss.length);
    tries.forEach(({ loss, kl }, j) => {
      expectNear(loss, expected.loss[j]!, tolerance, `loss of try ${j}`);
      expectNear(kl, expected.kl[j]!, tolerance, `kl of try ${j}`);
    });
    return accepted;
  }

  test.runIf(figures.trpo_5_iterations)('a trust-region step of a few iterations', () => {
    const expected = figures.trpo_5_iterations!;
    const report = step(constants.few_iterations);
    const { solution } = report;
    expectList(report.residualsSquared, expected.residual_squared, 'residuals', 1e-4);
    expectNear(report.curvature, expected.sHs, 1e-4, 'sHs');
    expectNear(report.scale, expected.scale, 1e-4, 'scale');
    expectNear(norm(solution), expected.solution_norm, 1e-4, 'norm of the solution');
    // The iterations mix the errors of all tensors, 1e-6 of the whole: those of a tensor below 1% of it are on the whole's scale.
    expectTensors(solution, expected.solution!, 1e-4, 'solution', 0.01 * expected.solution_norm);
    expect(expectTries(report, expected.tries, 1e-3)).toBe(expected.accepted);
    tensors(report.after).forEach((tensor, k) => {
      expected.after![k]!.forEach((value, i) => {
        expect(Math.abs(tensor[i]! - value), `after ${params[k]!.name}[${i}]`).toBeLessThan(1e-5);
      });
    });
  });

  test.runIf(figures.trpo)('a trust-region step of all iterations, as far as float32 products go', () => {
    const expected: TrpoFigures = figures.trpo!;
    const report = step(constants.cg_iterations);
    expectList(report.residualsSquared.slice(0, 5), expected.residual_squared.slice(0, 5), 'residuals', 1e-3);
    expect(report.accepted).toBe(expected.accepted);
    expect(Math.abs(report.scale / expected.scale - 1)).toBeLessThan(0.3);
  });

  function step(iterationCount: number) {
    const problem = objective.problem(tasks);
    const report = runToEnd(trpoStep(problem, { ...config.trpo, iterationCount }));
    const after = objective.flat.slice();
    fill();
    return { ...report, after };
  }

  test.runIf(figures.line_search_given_step)('a line search along a given step', () => {
    const expected = figures.line_search_given_step!;
    const problem = objective.problem(tasks);
    const before = objective.flat.slice();
    const report = runToEnd(searchLine(problem, { direction: direction(), length: expected.multiple }, config.trpo));
    expect(expectTries(report, expected.tries, 1e-3)).toBe(expected.accepted);
    if (expected.accepted === null) expect(objective.flat).toEqual(before);
    fill();
  });
});
