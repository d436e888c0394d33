/**
 * Computations of the outer step from the tasks' steps: losses, slopes and Hessian products in the weights of each task's network.
 * task-weights-path.ts has the way from the meta-parameters to the weights.
 */

import type * as tf from '@tensorflow/tfjs-core';
import { mapValues } from '../../../src/contract/records.ts';
import { type Parameters, prefixed, under } from '../../../src/nn/parameters.ts';
import { taskOutput, taskWeightShapes } from '../../../src/nn/policies/task-weights.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import type { Engine, ItemComputations, ItemsDefinition } from '../../engine/engine.ts';
import { compileItems } from '../../engine/items.ts';
import type { MamlConfig } from './config.ts';
import {
  divergenceProduct,
  evaluateSteps,
  meanKl,
  type OldPolicy,
  policyGradientLoss,
  policyGradientProduct,
  surrogateLoss,
  type TaskPolicy,
} from './losses.ts';
import type { MamlNetworks, MetaShapes } from './networks.ts';
import { readSteps, type StepArrays, type TaskArrays } from './steps.ts';

/** Weights of T tasks, or slopes and directions of them: [T, ...] each, by name as in `src/nn/policies/task-weights.ts`. */
export type WeightViews = Readonly<Record<string, Float32Array>>;
type WideViews = Readonly<Record<string, Float32Array | Float64Array>>;

/** Runs over the steps of T tasks that were loaded; they read weights, and write into the last argument. */
export type TaskComputations = {
  /** Takes the steps of all tasks. */
  load(tasks: readonly TaskArrays[]): void;
  /** Comes before products at other weights than those before: what they share, such as hidden values, is kept between them. */
  renew(): void;
  /** The slopes of the inner losses in the weights. @returns the losses */
  innerSlopes(weights: WeightViews, slopes: WeightViews): number[];
  /** The products of the inner losses' Hessians with a direction of each task; to second order only. @param step the inner step whose weights these are */
  innerProducts(step: number, weights: WeightViews, directions: WideViews, products: WeightViews): void;
  /** The slopes of the outer losses at the old policies, which these weights are from now on. */
  outerSlopes(weights: WeightViews, slopes: WeightViews): void;
  /** The products of the divergences' Hessians with a direction of each task, at the old policies. */
  divergenceProducts(weights: WeightViews, directions: WideViews, products: WeightViews): void;
  /** Outer losses and divergences from the old policies. */
  evaluate(weights: WeightViews): { readonly losses: number[]; readonly kls: number[] };
  dispose(): void;
};

export type TaskComputationOptions = {
  readonly engine: Engine;
  readonly networks: MamlNetworks;
  readonly config: Pick<MamlConfig, 'inner' | 'rate'>;
  /** N */
  readonly stepCount: number;
  readonly taskCount: number;
};

/** Steps of one run, at most: values of a hidden layer then stay in a core's cache from one operator to the next. */
const partStepCountMax = 1000;

/** A task's steps in parts, each one item of the runs. Losses and slopes are sums over steps, so those of the parts are added. */
export function createTaskComputations(options: TaskComputationOptions): TaskComputations {
  const { engine, networks, config, stepCount, taskCount } = options;
  const partCount = Math.ceil(stepCount / partStepCountMax);
  const size = { taskCount, itemCount: taskCount * partCount, stepCount: Math.ceil(stepCount / partCount) };
  // To first order the outer step has no use for them.
  const innerProductCount = config.inner.order === 'first' ? 0 : config.inner.stepCount;
  const items = compileItems(engine, taskItems(networks, { ...size, innerProductCount }));
  return new TaskRuns(items, taskCount, partCount);
}

class TaskRuns implements TaskComputations {
  readonly #items: ItemComputations<Run>;
  readonly #taskCount: number;
  readonly #partCount: number;

  constructor(items: ItemComputations<Run>, taskCount: number, partCount: number) {
    this.#items = items;
    this.#taskCount = taskCount;
    this.#partCount = partCount;
  }

  load(tasks: readonly TaskArrays[]): void {
    for (const [name, all] of Object.entries(this.#items.arrays)) {
      const [set, field] = name.split('.') as ['pre' | 'post', keyof StepArrays];
      if (set !== 'pre' && set !== 'post') continue;
      // The last part of a task may have room for more steps than are left: those are absent, as zeros.
      tasks.forEach((task, t) => {
        all.set(task[set][field], (t * all.length) / this.#taskCount);
      });
    }
    this.renew();
  }

  renew(): void {
    this.#items.renew();
  }

  innerSlopes(weights: WeightViews, slopes: WeightViews): number[] {
    this.#run('innerSlope', { weights }, slopes);
    return this.#sums('loss');
  }

  innerProducts(step: number, weights: WeightViews, direction: WideViews, products: WeightViews): void {
    this.#run('innerProduct', { weights, direction }, products, step);
  }

  outerSlopes(weights: WeightViews, slopes: WeightViews): void {
    this.#run('outerSlope', { weights }, slopes);
  }

  divergenceProducts(weights: WeightViews, direction: WideViews, products: WeightViews): void {
    this.#run('divergenceProduct', { weights, direction }, products);
  }

  evaluate(weights: WeightViews): { losses: number[]; kls: number[] } {
    this.#run('evaluate', { weights }, {});
    return { losses: this.#sums('loss'), kls: this.#sums('kl') };
  }

  dispose(): void {
    this.#items.dispose();
  }

  #run(run: Run, inputs: Readonly<Record<string, WideViews>>, results: WeightViews, place = 0): void {
    const { arrays } = this.#items;
    for (const [prefix, views] of Object.entries(inputs)) {
      for (const [name, view] of Object.entries(views)) arrays[`${prefix}.${name}`]!.set(view);
    }
    this.#items.run(run, place);
    for (const [name, to] of Object.entries(results)) this.#addParts(arrays[`result.${name}`]!, to);
  }

  /** Rows of each task's parts, added up: part after part, as memory is read in order then. */
  #addParts(parts: Float32Array, to: Float32Array | Float64Array): void {
    const size = to.length / this.#taskCount;
    const sum = new Float64Array(size);
    for (let task = 0; task < this.#taskCount; task++) {
      for (let part = 0; part < this.#partCount; part++) {
        const first = (task * this.#partCount + part) * size;
        const row = parts.subarray(first, first + size);
        if (part === 0) sum.set(row);
        else for (let i = 0; i < size; i++) sum[i]! += row[i]!;
      }
      to.set(sum, task * size);
    }
  }

  #sums(name: 'loss' | 'kl'): number[] {
    const sums = new Float64Array(this.#taskCount);
    this.#addParts(this.#items.arrays[name]!, sums);
    return [...sums];
  }
}

type Run = keyof ReturnType<typeof taskFunctions>;

/** @param size `stepCount` is that of an item; `innerProductCount` is the number of inner steps whose products are run */
function taskItems(
  networks: MamlNetworks,
  {
    taskCount,
    itemCount,
    stepCount,
    innerProductCount,
  }: Readonly<Record<'taskCount' | 'itemCount' | 'stepCount' | 'innerProductCount', number>>,
): ItemsDefinition<string> {
  const { observationSize, actionSize, policy } = networks;
  const named = (prefix: string, shapes: MetaShapes, rowCount = itemCount) =>
    prefixed(
      prefix,
      mapValues(shapes, (shape) => ({ rowCount, shape })),
    );
  const weightShapes = taskWeightShapes(policy);
  const inner = {
    observation: [stepCount, observationSize],
    action: [stepCount, actionSize],
    coefficient: [stepCount],
  };
  const sets = { pre: named('pre', inner), post: named('post', { ...inner, weight: [stepCount] }) };
  const old = named('old', { logProb: [stepCount], mean: [stepCount, actionSize], logStd: [actionSize] });
  const result = named('result', weightShapes);
  const given = {
    weights: named('weights', weightShapes, taskCount),
    direction: named('direction', weightShapes, taskCount),
  };
  const loss = { loss: { rowCount: itemCount, shape: [] } };
  const kl = { kl: { rowCount: itemCount, shape: [] } };
  const functions = taskFunctions(networks);
  const io = (run: Run, inputs: readonly object[], outputs: readonly object[]) => ({
    inputs: inputs.flatMap(Object.keys),
    outputs: outputs.flatMap(Object.keys),
    fn: functions[run],
  });
  return {
    name: 'maml',
    itemCount,
    arrays: { ...sets.pre, ...sets.post, ...given.weights, ...given.direction, ...result, ...old, ...loss, ...kl },
    functions: {
      innerSlope: io('innerSlope', [sets.pre, given.weights], [result, loss]),
      ...(innerProductCount > 0 && {
        innerProduct: {
          ...io('innerProduct', [sets.pre, given.weights, given.direction], [result]),
          steady: Object.keys({ ...sets.pre, ...given.weights }),
          placeCount: innerProductCount,
        },
      }),
      outerSlope: io('outerSlope', [sets.post, given.weights], [result, old]),
      divergenceProduct: {
        ...io('divergenceProduct', [sets.post, given.weights, given.direction], [result]),
        steady: Object.keys({ ...sets.post, ...given.weights }),
      },
      evaluate: io('evaluate', [sets.post, given.weights, old], [loss, kl]),
    },
  };
}

/** The five as functions of an item's tensors. */
function taskFunctions(networks: MamlNetworks) {
  const task = taskNetwork(networks);
  const read = (set: 'pre' | 'post', inputs: Parameters) => ({
    steps: readSteps(networks, under(set, inputs)),
    weights: under('weights', inputs),
    direction: under('direction', inputs),
    old: under('old', inputs) as unknown as OldPolicy,
  });
  return {
    innerSlope(inputs: Parameters) {
      const { steps, weights } = read('pre', inputs);
      const { value, gradients } = valueAndGradients((at) => policyGradientLoss(task, at, steps), weights);
      return { ...prefixed<tf.Tensor>('result', gradients), loss: value };
    },
    innerProduct(inputs: Parameters) {
      const { steps, weights, direction } = read('pre', inputs);
      return prefixed<tf.Tensor>('result', policyGradientProduct(task, weights, steps, direction));
    },
    outerSlope(inputs: Parameters) {
      const { steps, weights } = read('post', inputs);
      const { gradients } = valueAndGradients((at) => policyGradientLoss(task, at, steps), weights);
      return { ...prefixed<tf.Tensor>('old', evaluateSteps(task, weights, steps)), ...prefixed('result', gradients) };
    },
    divergenceProduct(inputs: Parameters) {
      const { steps, weights, direction } = read('post', inputs);
      return prefixed<tf.Tensor>('result', divergenceProduct(task, weights, steps, direction));
    },
    evaluate(inputs: Parameters): Record<string, tf.Tensor> {
      const { steps, weights, old } = read('post', inputs);
      return { loss: surrogateLoss(task, weights, steps, old), kl: meanKl(task, weights, steps, old) };
    },
  };
}

/** The network of one task, whose parameters are its weights. */
const taskNetwork = ({ policy }: MamlNetworks): TaskPolicy => ({
  policy: {
    ...policy,
    sizes: { ...policy.sizes, contextSize: 0 },
    output: (weights, observation) => taskOutput(policy, weights, observation),
  },
  context: undefined,
});
