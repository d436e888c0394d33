/**
 * The outer problem over all tasks of an iteration, through the adaptation: means over the tasks, summed in float64. Owns the
 * meta-parameters' memory; meta-problem.ts computes.
 */

import { type ParameterSpecs, shapesOf } from '../../../src/nn/parameters.ts';
import { createArena } from '../../../src/optim/arena.ts';
import { createLayout, type Layout, viewsOf } from '../../../src/optim/layout.ts';
import { MetaProblem } from './meta-problem.ts';
import { type MetaShapes, type MetaViews, metaSpecs } from './networks.ts';
import type { TaskArrays } from './steps.ts';
import { createTaskComputations, type TaskComputationOptions, type TaskComputations } from './task-computations.ts';
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
   * The problem of one outer step from the present parameters; computes its gradient. It holds until the next is
   * made.
   * @throws HyperpolicyError failed_precondition: a loss that is not finite
   */
  problem(tasks: readonly TaskArrays[]): TrpoProblem;
  dispose(): void;
};

export type MetaObjectiveOptions = Omit<TaskComputationOptions, 'taskCount'>;

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
  let batch: Batch | undefined;
  const batchOf = (taskCount: number): Batch => {
    if (batch?.taskCount !== taskCount) {
      disposeBatch(batch);
      const bound = { parameters, vector: views(vector), gradients: views(gradient), shapes };
      const computations = createTaskComputations({ ...options, taskCount });
      batch = { taskCount, computations, path: createTaskWeightsPath({ ...options, ...bound, taskCount }) };
    }
    return batch;
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
        ...batchOf(tasks.length),
        parameters: flat,
        vector,
        gradient,
      }),
    dispose: () => disposeBatch(batch),
  };
}

/** What computes for a number of tasks. */
type Batch = {
  readonly taskCount: number;
  readonly computations: TaskComputations;
  readonly path: TaskWeightsPath;
};

function disposeBatch(batch: Batch | undefined): void {
  batch?.computations.dispose();
  batch?.path.dispose();
}
