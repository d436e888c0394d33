/**
 * Computations of the outer step from one task's steps: losses, slopes and Hessian products in the weights of the task's network, each one
 * run. A task's arrays are copied into those that the runs read. task-weights-path.ts has the way from the meta-parameters to the weights.
 */

import * as tf from '@tensorflow/tfjs-core';
import { toNormalised } from '../../../src/nn/action-scaling.ts';
import { normalise } from '../../../src/nn/normalisation.ts';
import { type Parameters, sizeOf, under } from '../../../src/nn/parameters.ts';
import { taskOutput, taskWeightShapes } from '../../../src/nn/policies/task-weights.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import type { BoundInput, Computation, Engine } from '../../engine/engine.ts';
import type { MamlConfig } from './config.ts';
import { hessianProduct, type Rates } from './inner-step.ts';
import {
  divergenceProduct,
  evaluateSteps,
  meanKl,
  type OldPolicy,
  policyGradientLoss,
  surrogateLoss,
  type TaskPolicy,
  type TaskSteps,
} from './losses.ts';
import type { MamlNetworks } from './networks.ts';

/** N steps of one task, as many as the task can have; absent ones have coefficient and weight 0. */
export type StepArrays = {
  readonly observation: Float32Array; // [N, O]
  readonly action: Float32Array; // [N, A], environment units, not clipped
  readonly coefficient: Float32Array; // [N], normalised advantage / count of steps
  readonly weight: Float32Array; // [N], 1 / count of steps
};

/** One task of an iteration. */
export type TaskArrays = {
  readonly context: Float32Array; // [C], environment units
  /** Steps of the policy before adaptation, to which it adapts. */
  readonly pre: StepArrays;
  /** Steps of the adapted policy, for the outer loss. */
  readonly post: StepArrays;
  /** The adapted policy at the present parameters; written by `MetaObjective.problem`. */
  readonly old: { readonly logProb: Float32Array; readonly mean: Float32Array; readonly logStd: Float32Array };
};

export type MetaViews = Readonly<Record<string, Float32Array>>;
export type MetaShapes = Readonly<Record<string, readonly number[]>>;

/** One task's weights, or slopes and directions of them, by name as in `src/nn/policies/task-weights.ts`. */
export type WeightRow = Readonly<Record<string, Float32Array | Float64Array>>;

/** Runs over one task's steps; they read weights, and write into the last argument. */
export type TaskComputations = {
  /** The slope of the inner loss in the weights. @returns the loss */
  innerSlope(pre: StepArrays, weights: WeightRow, slope: WeightRow): number;
  /** The product of the inner loss's Hessian with a direction. */
  innerProduct(pre: StepArrays, weights: WeightRow, direction: WeightRow, product: WeightRow): void;
  /** The slope of the outer loss at the old policy, which these weights are; writes `old` too. */
  outerSlope(post: StepArrays, weights: WeightRow, old: TaskArrays['old'], slope: WeightRow): void;
  /** The product of the divergence's Hessian with a direction, at the old policy. */
  divergenceProduct(post: StepArrays, weights: WeightRow, direction: WeightRow, product: WeightRow): void;
  /** Outer loss and divergence from `old`. */
  evaluate(
    post: StepArrays,
    weights: WeightRow,
    old: TaskArrays['old'],
  ): { readonly loss: number; readonly kl: number };
  dispose(): void;
};

export type TaskComputationOptions = {
  readonly engine: Engine;
  readonly networks: MamlNetworks;
  readonly config: Pick<MamlConfig, 'inner' | 'rate'>;
  /** N */
  readonly stepCount: number;
};

export const createTaskComputations = (options: Omit<TaskComputationOptions, 'config'>): TaskComputations =>
  new TaskRuns(options);

class TaskRuns implements TaskComputations {
  readonly #memory: Memory;
  readonly #runs: Readonly<Record<keyof ReturnType<typeof taskFunctions>, Computation>>;

  constructor(options: Omit<TaskComputationOptions, 'config'>) {
    this.#memory = createMemory(options);
    this.#runs = compileRuns(options, this.#memory);
  }

  innerSlope(pre: StepArrays, weights: WeightRow, slope: WeightRow): number {
    this.#load(pre, weights);
    this.#runs.innerSlope.run();
    copyArrays(this.#memory.result, slope);
    return this.#memory.loss[0]!;
  }

  innerProduct(pre: StepArrays, weights: WeightRow, direction: WeightRow, product: WeightRow): void {
    this.#load(pre, weights);
    copyArrays(direction, this.#memory.direction);
    this.#runs.innerProduct.run();
    copyArrays(this.#memory.result, product);
  }

  outerSlope(post: StepArrays, weights: WeightRow, old: TaskArrays['old'], slope: WeightRow): void {
    this.#load(post, weights);
    this.#runs.outerSlope.run();
    copyArrays(this.#memory.old, old);
    copyArrays(this.#memory.result, slope);
  }

  divergenceProduct(post: StepArrays, weights: WeightRow, direction: WeightRow, product: WeightRow): void {
    this.#load(post, weights);
    copyArrays(direction, this.#memory.direction);
    this.#runs.divergenceProduct.run();
    copyArrays(this.#memory.result, product);
  }

  evaluate(post: StepArrays, weights: WeightRow, old: TaskArrays['old']): { loss: number; kl: number } {
    this.#load(post, weights);
    copyArrays(old, this.#memory.old);
    this.#runs.evaluate.run();
    return { loss: this.#memory.loss[0]!, kl: this.#memory.kl[0]! };
  }

  dispose(): void {
    for (const computation of Object.values(this.#runs)) computation.dispose();
  }

  #load(steps: StepArrays, weights: WeightRow): void {
    copyArrays(steps, this.#memory.steps);
    copyArrays(weights, this.#memory.weights);
  }
}

function compileRuns({ engine, networks, stepCount }: Omit<TaskComputationOptions, 'config'>, memory: Memory) {
  const functions = taskFunctions(networks);
  const weightShapes = taskWeightShapes(networks.policy);
  const bound = (named: Readonly<Record<string, Float32Array>>) => boundTo(named, weightShapes);
  const inputs = { ...stepInputs('steps', memory.steps, networks), ...prefixed('weights', bound(memory.weights)) };
  const direction = prefixed('direction', bound(memory.direction));
  const old = {
    'old.logProb': { shape: [stepCount], data: memory.old.logProb },
    'old.mean': { shape: [stepCount, networks.actionSize], data: memory.old.mean },
    'old.logStd': { shape: [networks.actionSize], data: memory.old.logStd },
  };
  const { loss, kl } = memory;
  const result = prefixed('d', memory.result);
  const compile = (
    name: keyof typeof functions,
    more: Record<string, BoundInput>,
    outputs: Record<string, Float32Array>,
  ) => engine.compile({ name: `maml-${name}`, inputs: { ...inputs, ...more }, outputs, fn: functions[name] });
  return {
    innerSlope: compile('innerSlope', {}, { ...result, loss }),
    innerProduct: compile('innerProduct', direction, result),
    outerSlope: compile('outerSlope', {}, { ...result, ...prefixed('now', memory.old) }),
    divergenceProduct: compile('divergenceProduct', direction, result),
    evaluate: compile('evaluate', old, { loss, kl }),
  };
}

/** The five as functions of the bound tensors. */
function taskFunctions(networks: MamlNetworks) {
  const read = (inputs: Parameters) => ({
    steps: readSteps(networks, under('steps', inputs)),
    weights: under('weights', inputs),
    direction: under('direction', inputs),
    task: taskNetwork(networks),
    old: under('old', inputs) as unknown as OldPolicy,
  });
  return {
    innerSlope(inputs: Parameters) {
      const { steps, weights, task } = read(inputs);
      const { value, gradients } = valueAndGradients((at) => policyGradientLoss(task, at, steps), weights);
      return { ...prefixed<tf.Tensor>('d', gradients), loss: value };
    },
    innerProduct(inputs: Parameters) {
      const { steps, weights, direction, task } = read(inputs);
      return prefixed(
        'd',
        hessianProduct((at) => policyGradientLoss(task, at, steps), weights, direction),
      );
    },
    outerSlope(inputs: Parameters) {
      const { steps, weights, task } = read(inputs);
      const { gradients } = valueAndGradients((at) => policyGradientLoss(task, at, steps), weights);
      return { ...prefixed<tf.Tensor>('now', evaluateSteps(task, weights, steps)), ...prefixed('d', gradients) };
    },
    divergenceProduct(inputs: Parameters) {
      const { steps, weights, direction, task } = read(inputs);
      return prefixed('d', divergenceProduct(task, weights, steps, direction));
    },
    evaluate(inputs: Parameters) {
      const { steps, weights, task, old } = read(inputs);
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

/** The policy in a context [1, C] of environment units. */
export const readTask = ({ policy, context: scale }: MamlNetworks, context: tf.Tensor | undefined): TaskPolicy => ({
  policy,
  context: context && normalise(scale, context as tf.Tensor2D),
});

/** Steps as the losses read them, from inputs in environment units. */
export function readSteps({ scaling }: MamlNetworks, inputs: Parameters): TaskSteps & { readonly weight: tf.Tensor1D } {
  const { observation, action, coefficient, weight } = inputs;
  return {
    observation: observation as tf.Tensor2D,
    action: toNormalised(scaling, action!) as tf.Tensor2D,
    coefficient: coefficient as tf.Tensor1D,
    weight: weight as tf.Tensor1D,
  };
}

/** The learnt rates among the meta-parameters, or the fixed one for all. */
export function readRates({ policy }: MamlNetworks, { start, learnt }: MamlConfig['rate'], meta: Parameters): Rates {
  if (learnt !== 'no') return under('rate', meta);
  return Object.fromEntries(Object.keys(policy.specs).map((name) => [name, tf.scalar(start)]));
}

type Memory = ReturnType<typeof createMemory>;

/** The arrays that the runs read and write. */
function createMemory({ networks, stepCount }: Pick<TaskComputationOptions, 'networks' | 'stepCount'>) {
  const views = (): Record<string, Float32Array> =>
    Object.fromEntries(
      Object.entries(taskWeightShapes(networks.policy)).map(([name, shape]) => [name, new Float32Array(sizeOf(shape))]),
    );
  const { pre: steps, old } = createTaskArrays(networks, stepCount);
  const scalars = { loss: new Float32Array(1), kl: new Float32Array(1) };
  return { steps, old, weights: views(), direction: views(), result: views(), ...scalars };
}

/** Zeroed arrays for one task of N steps, but for its context. */
export function createTaskArrays(
  { observationSize, actionSize }: Pick<MamlNetworks, 'observationSize' | 'actionSize'>,
  stepCount: number,
): Omit<TaskArrays, 'context'> {
  const steps = (): StepArrays => ({
    observation: new Float32Array(stepCount * observationSize),
    action: new Float32Array(stepCount * actionSize),
    coefficient: new Float32Array(stepCount),
    weight: new Float32Array(stepCount),
  });
  return {
    pre: steps(),
    post: steps(),
    old: {
      logProb: new Float32Array(stepCount),
      mean: new Float32Array(stepCount * actionSize),
      logStd: new Float32Array(actionSize),
    },
  };
}

export function stepInputs(
  set: string,
  { observation, action, coefficient, weight }: StepArrays,
  { observationSize, actionSize }: MamlNetworks,
): Record<string, BoundInput> {
  const stepCount = coefficient.length;
  return prefixed(set, {
    observation: { shape: [stepCount, observationSize], data: observation },
    action: { shape: [stepCount, actionSize], data: action },
    coefficient: { shape: [stepCount], data: coefficient },
    weight: { shape: [stepCount], data: weight },
  });
}

export const boundTo = (views: MetaViews, shapes: MetaShapes): Record<string, BoundInput> =>
  Object.fromEntries(Object.entries(views).map(([name, data]) => [name, { shape: shapes[name]!, data }]));

export const prefixed = <T>(prefix: string, record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [`${prefix}.${name}`, value]));

export function copyArrays<Name extends string>(
  from: Readonly<Record<Name, Float32Array | Float64Array>>,
  to: Readonly<Record<Name, Float32Array | Float64Array>>,
): void {
  for (const name of Object.keys(to) as Name[]) to[name].set(from[name]);
}
