/**
 * The outer problem over all tasks of an iteration: means over the tasks of what task-computations.ts computes, summed in float64.
 * Owns the meta-parameters' memory.
 */

import { type ParameterSpecs, shapesOf } from '../../../src/nn/parameters.ts';
import { createArena } from '../../../src/optim/arena.ts';
import { createLayout, type Layout, viewsOf } from '../../../src/optim/layout.ts';
import { addScaled } from './conjugate-gradient.ts';
import { metaSpecs } from './networks.ts';
import {
  createTaskComputations,
  type MetaShapes,
  type MetaViews,
  type TaskArrays,
  type TaskComputationOptions,
} from './task-computations.ts';
import type { Candidate, TrpoProblem } from './trpo.ts';

export type MetaObjective = {
  readonly specs: ParameterSpecs;
  readonly shapes: MetaShapes;
  readonly layout: Layout;
  /** All meta-parameters, and by name: `policy.<name>`, `rate.<name>`. */
  readonly flat: Float32Array;
  readonly parameters: MetaViews;
  /** The problem of one outer step from the present parameters; computes its gradient and the tasks' `old`. */
  problem(tasks: readonly TaskArrays[]): TrpoProblem;
  dispose(): void;
};

export type MetaObjectiveOptions = Pick<TaskComputationOptions, 'engine' | 'networks' | 'config' | 'stepCount'>;

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
  const computations = createTaskComputations({
    ...options,
    parameters,
    vector: views(vector),
    gradients: views(gradient),
    shapes,
  });
  /** Mean over the tasks of what a run leaves in `gradient`. */
  const meanOver = (tasks: readonly TaskArrays[], run: () => void): Float64Array => {
    const mean = new Float64Array(layout.length);
    for (const task of tasks) {
      computations.load(task);
      run();
      addScaled(mean, gradient, 1 / tasks.length);
    }
    return mean;
  };
  return {
    specs,
    shapes,
    layout,
    flat,
    parameters,
    problem: (tasks) => ({
      parameters: flat,
      gradient: meanOver(tasks, computations.gradient),
      product(direction) {
        vector.set(direction);
        return meanOver(tasks, computations.product);
      },
      evaluate() {
        const mean = { loss: 0, kl: 0 };
        for (const task of tasks) {
          computations.load(task);
          const { loss, kl } = computations.evaluate();
          mean.loss += loss / tasks.length;
          mean.kl += kl / tasks.length;
        }
        return mean satisfies Candidate;
      },
    }),
    dispose: computations.dispose,
  };
}
