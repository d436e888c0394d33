/**
 * The problem of one outer step: the outer loss's gradient, and products with the Hessian of the divergence.
 *
 * The chain has two kinds of links. task-weights-path.ts goes from the meta-parameters to every task's weights, for all tasks in one
 * run; task-computations.ts from each task's weights through its episodes. So the derivative of the weights after step k, and J', are
 * products of theirs: the Hessian of the divergence is J' F J, with F its Hessian in the weights after the last step.
 */

import { mapValues } from '../../../src/contract/records.ts';
import { requireFiniteLoss } from '../../off-policy/finite-loss.ts';
import { addScaled, dot, setScaled } from './conjugate-gradient.ts';
import type { TaskArrays } from './steps.ts';
import type { TaskComputationOptions, TaskComputations, WeightViews } from './task-computations.ts';
import type { TaskWeightsPath } from './task-weights-path.ts';
import type { Candidate, TrpoProblem } from './trpo.ts';

export type MetaProblemParts = Pick<TaskComputationOptions, 'config' | 'networks'> & {
  readonly computations: TaskComputations;
  readonly path: TaskWeightsPath;
  /** All meta-parameters. */
  readonly parameters: Float32Array;
  /** Read by `path.forward`. */
  readonly vector: Float32Array;
  /** Written by `path.backward`. */
  readonly gradient: Float32Array;
};

export class MetaProblem implements TrpoProblem {
  readonly parameters: Float32Array;
  readonly gradient: Float64Array;
  readonly #taskCount: number;
  readonly #parts: MetaProblemParts;
  /** Per inner step: the derivative in its slopes, summed over the steps after it. */
  readonly #sums: readonly Readonly<Record<string, Float64Array>>[];
  /** Of the last product: new memory for each would cost more than all that is written to it. */
  readonly #image: Float64Array;
  /** Whether weights and slopes are those of the parameters that the problem began with. */
  #isCurrent = false;

  /** @throws HyperpolicyError failed_precondition: a loss that is not finite */
  constructor(tasks: readonly TaskArrays[], parts: MetaProblemParts) {
    const { networks, computations, path } = parts;
    const { contexts, slopes, cotangent } = path.memory;
    this.parameters = parts.parameters;
    this.#taskCount = tasks.length;
    this.#parts = parts;
    this.#sums = slopes.map((named) => mapValues(named, (view) => new Float64Array(view.length)));
    tasks.forEach(({ context }, task) => {
      contexts.set(context.subarray(0, networks.contextSize), task * networks.contextSize);
    });
    computations.load(tasks);
    this.#adapt((loss, task) => requireFiniteLoss(`inner loss of task ${task}`, loss));
    computations.outerSlopes(this.#lastWeights, cotangent);
    this.#image = new Float64Array(this.parameters.length);
    this.gradient = this.#pullBack(new Float64Array(this.parameters.length));
    requireFiniteLoss("squared norm of the outer loss's gradient", dot(this.gradient, this.gradient));
    this.#isCurrent = true;
  }

  product(direction: Float64Array): Float64Array {
    const { computations, path, vector } = this.#parts;
    const { tangents, cotangent } = path.memory;
    if (!this.#isCurrent) this.#adapt();
    this.#isCurrent = true;
    vector.set(direction);
    this.#pushForward();
    computations.divergenceProducts(this.#lastWeights, tangents.at(-1)!, cotangent);
    return this.#pullBack(this.#image);
  }

  evaluate(): Candidate {
    this.#isCurrent = false;
    this.#adapt();
    const { losses, kls } = this.#parts.computations.evaluate(this.#lastWeights);
    const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value / this.#taskCount, 0);
    return { loss: mean(losses), kl: mean(kls) };
  }

  get #lastWeights(): WeightViews {
    return this.#parts.path.memory.weights.at(-1)!;
  }

  /** The weights after every step at the present parameters. @param note the inner losses */
  #adapt(note: (loss: number, task: number) => void = () => {}): void {
    const { config, computations, path } = this.#parts;
    const { weights, slopes } = path.memory;
    computations.renew();
    path.weights(0);
    for (let k = 0; k < config.inner.stepCount; k++) {
      computations.innerSlopes(weights[k]!, slopes[k]!).forEach(note);
      path.weights(k + 1);
    }
  }

  /** Mean over the tasks of J' u, from `cotangent` in the weights after the last step. @returns `mean` */
  #pullBack(mean: Float64Array): Float64Array {
    const { config, path, gradient } = this.#parts;
    const { stepCount, order } = config.inner;
    for (const named of this.#sums) for (const view of Object.values(named)) view.fill(0);
    for (let k = stepCount; ; k--) {
      path.backward(k);
      const put = k === stepCount ? setScaled : addScaled;
      put(mean, gradient, 1 / this.#taskCount);
      if (k === 0 || order === 'first') return mean;
      for (let i = 0; i < k; i++) addViews(this.#sums[i]!, path.memory.slopeCotangents[i]!);
      this.#parts.computations.innerProducts(
        k - 1,
        path.memory.weights[k - 1]!,
        this.#sums[k - 1]!,
        path.memory.cotangent,
      );
    }
  }

  /** J v of the weights after the last step. */
  #pushForward(): void {
    const { config, computations, path } = this.#parts;
    const { stepCount, order } = config.inner;
    const { weights, tangents, slopeTangents } = path.memory;
    for (let k = order === 'first' ? stepCount : 0; ; k++) {
      path.forward(k);
      if (k === stepCount) return;
      computations.innerProducts(k, weights[k]!, tangents[k]!, slopeTangents[k]!);
    }
  }
}

function addViews(sums: Readonly<Record<string, Float64Array>>, views: WeightViews): void {
  for (const [name, sum] of Object.entries(sums)) addScaled(sum, views[name]!, 1);
}
