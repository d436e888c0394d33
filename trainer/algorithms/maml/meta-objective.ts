/**
 * The outer problem over all tasks of an iteration, through the adaptation: means over the tasks, summed in float64. Owns the
 * meta-parameters' memory.
 *
 * The chain has two kinds of links. task-weights-path.ts goes from the meta-parameters to every task's weights, for all tasks in one
 * run; task-computations.ts from one task's weights through its episodes. So the derivative of the weights after step k, and J', are
 * products of theirs: the Hessian of the divergence is J' F J, with F its Hessian in the weights after the last step.
 */

import { type ParameterSpecs, shapesOf } from '../../../src/nn/parameters.ts';
import { createArena } from '../../../src/optim/arena.ts';
import { createLayout, type Layout, viewsOf } from '../../../src/optim/layout.ts';
import { requireFiniteLoss } from '../../off-policy/finite-loss.ts';
import { addScaled, dot } from './conjugate-gradient.ts';
import { metaSpecs } from './networks.ts';
import {
  createTaskComputations,
  type MetaShapes,
  type MetaViews,
  type TaskArrays,
  type TaskComputationOptions,
} from './task-computations.ts';
import { createTaskWeightsPath, type TaskWeightsPath, type WeightViews } from './task-weights-path.ts';
import type { TrpoProblem } from './trpo.ts';

export type MetaObjective = {
  readonly specs: ParameterSpecs;
  readonly shapes: MetaShapes;
  readonly layout: Layout;
  /** All meta-parameters, and by name: `policy.<name>`, `rate.<name>`. */
  readonly flat: Float32Array;
  readonly parameters: MetaViews;
  /**
   * The problem of one outer step from the present parameters; computes its gradient and the tasks' `old`. It holds until the next is
   * made.
   * @throws HyperpolicyError failed_precondition: a loss that is not finite
   */
  problem(tasks: readonly TaskArrays[]): TrpoProblem;
  dispose(): void;
};

export type MetaObjectiveOptions = TaskComputationOptions;

export function createMetaObjective(options: MetaObjectiveOptions): MetaObjective {
  const specs = metaSpecs(options.networks.policy, options.config.rate);
  const shapes = shapesOf(specs);
  const layout = createLayout(shapes);
  const arena = createArena(3 * layout.length);
  const [flat, vector, gradient] = [0, 1, 2].map(() => arena.allocate(layout.length)) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const views = (data: Float32Array) => viewsOf(layout, data);
  const parameters = views(flat);
  const computations = createTaskComputations(options);
  let path: (TaskWeightsPath & { readonly taskCount: number }) | undefined;
  const pathOf = (taskCount: number): TaskWeightsPath => {
    if (path?.taskCount !== taskCount) {
      path?.dispose();
      const bound = { parameters, vector: views(vector), gradients: views(gradient), shapes };
      path = { ...createTaskWeightsPath({ ...options, ...bound, taskCount }), taskCount };
    }
    return path;
  };
  return {
    specs,
    shapes,
    layout,
    flat,
    parameters,
    problem: (tasks) =>
      createProblem(tasks, {
        ...options,
        computations,
        path: pathOf(tasks.length),
        parameters: flat,
        vector,
        gradient,
      }),
    dispose() {
      computations.dispose();
      path?.dispose();
    },
  };
}

type Parts = Pick<MetaObjectiveOptions, 'config' | 'networks'> & {
  readonly computations: ReturnType<typeof createTaskComputations>;
  readonly path: TaskWeightsPath;
  readonly parameters: Float32Array;
  readonly vector: Float32Array;
  readonly gradient: Float32Array;
};

function createProblem(tasks: readonly TaskArrays[], parts: Parts): TrpoProblem {
  const { config, networks, computations, path, parameters, vector, gradient: written } = parts;
  const { stepCount, order } = config.inner;
  const { weights, slopes, tangents, slopeTangents, cotangent, slopeCotangents } = path.memory;
  tasks.forEach(({ context }, task) => {
    path.memory.contexts.set(context.subarray(0, networks.contextSize), task * networks.contextSize);
  });
  /** Slopes in each step's slopes that later runs have left. */
  const sums = slopes.map((named) => mapViews(named, (view) => new Float64Array(view.length)));
  /** Whether weights and slopes are those of the parameters that the problem began with. */
  let isCurrent = false;

  /** The weights after every step at the present parameters. @param note the inner losses */
  function adapt(note: (loss: number, task: number) => void = () => {}): void {
    path.weights(0);
    for (let k = 0; k < stepCount; k++) {
      tasks.forEach((task, t) => {
        note(computations.innerSlope(task.pre, row(weights[k]!, t), row(slopes[k]!, t)), t);
      });
      path.weights(k + 1);
    }
  }

  /** Mean over the tasks of J' u, from `cotangent` in the weights after the last step. */
  function pullBack(): Float64Array {
    const mean = new Float64Array(parameters.length);
    for (const named of sums) for (const view of Object.values(named)) view.fill(0);
    for (let k = stepCount; ; k--) {
      path.backward(k);
      addScaled(mean, written, 1 / tasks.length);
      if (k === 0 || order === 'first') return mean;
      for (let i = 0; i < k; i++) addViews(sums[i]!, slopeCotangents[i]!);
      tasks.forEach(({ pre }, t) => {
        computations.innerProduct(pre, row(weights[k - 1]!, t), row(sums[k - 1]!, t), row(cotangent, t));
      });
    }
  }

  /** J v of the weights after the last step. */
  function pushForward(): void {
    for (let k = order === 'first' ? stepCount : 0; ; k++) {
      path.forward(k);
      if (k === stepCount) return;
      tasks.forEach(({ pre }, t) => {
        computations.innerProduct(pre, row(weights[k]!, t), row(tangents[k]!, t), row(slopeTangents[k]!, t));
      });
    }
  }

  const last = weights[stepCount]!;
  adapt((loss, task) => requireFiniteLoss(`inner loss of task ${task}`, loss));
  tasks.forEach(({ post, old }, t) => {
    computations.outerSlope(post, row(last, t), old, row(cotangent, t));
  });
  const gradient = pullBack();
  requireFiniteLoss("squared norm of the outer loss's gradient", dot(gradient, gradient));
  isCurrent = true;
  return {
    parameters,
    gradient,
    product(direction) {
      if (!isCurrent) adapt();
      isCurrent = true;
      vector.set(direction);
      pushForward();
      tasks.forEach(({ post }, t) => {
        computations.divergenceProduct(post, row(last, t), row(tangents[stepCount]!, t), row(cotangent, t));
      });
      return pullBack();
    },
    evaluate() {
      isCurrent = false;
      adapt();
      const results = tasks.map(({ post, old }, t) => computations.evaluate(post, row(last, t), old));
      const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value / tasks.length, 0);
      return { loss: mean(results.map(({ loss }) => loss)), kl: mean(results.map(({ kl }) => kl)) };
    },
  };
  /** One task's part of arrays of all. */
  function row<T extends Float32Array | Float64Array>(
    named: Readonly<Record<string, T>>,
    task: number,
  ): Record<string, T> {
    return mapViews(named, (view) => {
      const size = view.length / tasks.length;
      return view.subarray(task * size, (task + 1) * size) as T;
    });
  }
}

const mapViews = <From, To>(named: Readonly<Record<string, From>>, fn: (view: From) => To): Record<string, To> =>
  Object.fromEntries(Object.entries(named).map(([name, view]) => [name, fn(view)]));

function addViews(sums: Readonly<Record<string, Float64Array>>, views: WeightViews): void {
  for (const [name, sum] of Object.entries(sums)) addScaled(sum, views[name]!, 1);
}
