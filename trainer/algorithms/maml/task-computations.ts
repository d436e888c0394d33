/**
 * What the outer step computes for one task at a time: the loss with its gradient, the loss with its divergence, and products with
 * the divergence's Hessian, each through the adaptation and each one run. A task's arrays are copied into those that the runs read.
 */

import * as tf from '@tensorflow/tfjs-core';
import { toNormalised } from '../../../src/nn/action-scaling.ts';
import { normalise } from '../../../src/nn/normalisation.ts';
import { type Parameters, under } from '../../../src/nn/parameters.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import type { BoundInput, Computation, Engine } from '../../engine/engine.ts';
import type { MamlConfig } from './config.ts';
import { adapt, adaptedHessianProduct, type Rates } from './inner-step.ts';
import {
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
  /** Under the policy before adaptation: what it adapts to. */
  readonly pre: StepArrays;
  /** Under the adapted policy: what the outer loss is of. */
  readonly post: StepArrays;
  /** The adapted policy at the present parameters; written by `gradient`. */
  readonly old: { readonly logProb: Float32Array; readonly mean: Float32Array; readonly logStd: Float32Array };
};

export type MetaViews = Readonly<Record<string, Float32Array>>;
export type MetaShapes = Readonly<Record<string, readonly number[]>>;

export type TaskComputations = {
  /** Chooses the task that the runs are about. */
  load(task: TaskArrays): void;
  /** The outer loss's gradient into `gradients`, and the task's `old`. */
  readonly gradient: () => void;
  /** Outer loss and divergence from `old`. */
  readonly evaluate: () => { readonly loss: number; readonly kl: number };
  /** Hessian of the divergence times `vector` into `gradients`; the parameters must be those of `old`. */
  readonly product: () => void;
  dispose(): void;
};

export type TaskComputationOptions = {
  readonly engine: Engine;
  readonly networks: MamlNetworks;
  readonly config: Pick<MamlConfig, 'inner' | 'rate'>;
  /** N */
  readonly stepCount: number;
  /** Read by every run, see `metaSpecs`. */
  readonly parameters: MetaViews;
  /** Read by `product`. */
  readonly vector: MetaViews;
  /** Written by `gradient` and `product`. */
  readonly gradients: MetaViews;
  readonly shapes: MetaShapes;
};

export function createTaskComputations(options: TaskComputationOptions): TaskComputations {
  const { engine, networks, parameters, vector, gradients, shapes } = options;
  const memory = createMemory(options);
  const functions = taskFunctions(options);
  const bound = {
    ...prefixed('meta', boundTo(parameters, shapes)),
    ...stepInputs('pre', memory.pre, networks),
    ...stepInputs('post', memory.post, networks),
    'old.logProb': { shape: [options.stepCount], data: memory.old.logProb },
    'old.mean': { shape: [options.stepCount, networks.actionSize], data: memory.old.mean },
    'old.logStd': { shape: [networks.actionSize], data: memory.old.logStd },
    ...(networks.contextSize > 0 && { context: { shape: [1, networks.contextSize], data: memory.context } }),
  };
  const written = prefixed('d', gradients);
  const compile = (name: keyof typeof functions, inputs: typeof bound, outputs: Record<string, Float32Array>) =>
    engine.compile({ name: `maml-${name}`, inputs, outputs, fn: functions[name] });
  const { old, loss, kl } = memory;
  const computations: Record<keyof typeof functions, Computation> = {
    gradient: compile('gradient', bound, { ...prefixed('now', old), ...written }),
    evaluate: compile('evaluate', bound, { loss, kl }),
    product: compile('product', { ...bound, ...prefixed('vector', boundTo(vector, shapes)) }, written),
  };
  let loaded: TaskArrays | undefined;
  return {
    load(task) {
      loaded = task;
      memory.context.set(task.context.subarray(0, networks.contextSize));
      for (const set of ['pre', 'post'] as const) copyArrays(task[set], memory[set]);
      copyArrays(task.old, memory.old);
    },
    gradient() {
      computations.gradient.run();
      copyArrays(memory.old, loaded!.old);
    },
    evaluate() {
      computations.evaluate.run();
      return { loss: loss[0]!, kl: kl[0]! };
    },
    product: () => computations.product.run(),
    dispose() {
      for (const computation of Object.values(computations)) computation.dispose();
    },
  };
}

/** The three as functions of the bound tensors. */
function taskFunctions({ networks, config: { inner, rate } }: TaskComputationOptions) {
  const read = (inputs: Parameters) => {
    const { context } = inputs;
    const task = readTask(networks, context);
    const steps = (set: 'pre' | 'post') => readSteps(networks, under(set, inputs));
    const [pre, post] = [steps('pre'), steps('post')];
    const old = under('old', inputs) as unknown as OldPolicy;
    const innerLoss = (parameters: Parameters) => policyGradientLoss(task, parameters, pre);
    const adapted = (meta: Parameters) => adapt(innerLoss, under('policy', meta), ratesIn(meta), inner);
    return { task, post, old, innerLoss, adapted, meta: under('meta', inputs) };
  };
  const ratesIn = (meta: Parameters) => readRates(networks, rate, meta);
  return {
    gradient(inputs: Parameters) {
      const { task, post, adapted, meta } = read(inputs);
      const now = evaluateSteps(task, adapted(meta), post);
      const { gradients } = valueAndGradients((variables) => policyGradientLoss(task, adapted(variables), post), meta);
      return { ...prefixed<tf.Tensor>('now', now), ...prefixed('d', gradients) };
    },
    evaluate(inputs: Parameters) {
      const { task, post, old, adapted, meta } = read(inputs);
      const parameters = adapted(meta);
      return { loss: surrogateLoss(task, parameters, post, old), kl: meanKl(task, parameters, post, old) };
    },
    product(inputs: Parameters) {
      const { task, post, old, innerLoss, meta } = read(inputs);
      const vector = under('vector', inputs);
      const product = adaptedHessianProduct(
        { inner: innerLoss, divergence: (parameters) => meanKl(task, parameters, post, old) },
        { parameters: under('policy', meta), rates: ratesIn(meta) },
        { parameters: under('policy', vector), rates: under('rate', vector) },
        inner,
      );
      return { ...prefixed('d.policy', product.parameters), ...prefixed('d.rate', product.rates) };
    },
  };
}

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

/** The arrays that the runs read and write. */
function createMemory({ networks, stepCount }: TaskComputationOptions) {
  const { contextSize } = networks;
  return {
    ...createTaskArrays(networks, stepCount),
    context: new Float32Array(contextSize),
    loss: new Float32Array(1),
    kl: new Float32Array(1),
  };
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
  set: 'pre' | 'post',
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
  from: Readonly<Record<Name, Float32Array>>,
  to: Readonly<Record<Name, Float32Array>>,
): void {
  for (const name of Object.keys(to) as Name[]) to[name].set(from[name]);
}
