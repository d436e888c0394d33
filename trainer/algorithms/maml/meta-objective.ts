/**
 * The outer problem over all tasks of an iteration, through the adaptation: means over the tasks, summed in float64. Owns the
 * meta-parameters' memory; meta-problem.ts computes.
 */

import { type ParameterSpecs, shapesOf } from '../../../src/nn/parameters.ts';
import { createArena } from '../../../src/optim/arena.ts';
import { createLayout, type Layout, viewsOf } from '../../../src/optim/layout.ts';
import { MetaProblem } from './meta-problem.ts';
import { metaSpecs } from './networks.ts';
import {
  createTaskComputations,
  type MetaShapes,
  type MetaViews,
  type TaskArrays,
  type TaskComputationOptions,
} from './task-computations.ts';
import { createTaskWeightsPath, type TaskWeightsPath } from './task-weights-path.ts';
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
      new MetaProblem(tasks, {
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
