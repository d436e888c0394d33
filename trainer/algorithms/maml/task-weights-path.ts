/**
 * From the meta-parameters to the weights of each task's network of the observation, after each inner step: for all tasks of an
 * iteration in one run, with the products of that map's derivative, forwards and backwards.
 *
 * An inner step moves every parameter by -rate x slope of the loss. The loss reads them only through the task's weights, so its slope
 * in those is all that a step needs to know of the episodes. If a linear layer has one input row a task, its slope is of rank one,
 * input' x slope of its output. It is never formed: the moved layer gives x W - rate (x . input) slope, and the products with W serve
 * all tasks at once. The other parameters are small, and each task gets its own.
 */

import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../../../src/contract/counts.ts';
import { mapValues } from '../../../src/contract/records.ts';
import { type LinearMap, linear } from '../../../src/nn/linear.ts';
import { type Parameters, prefixed, under } from '../../../src/nn/parameters.ts';
import type { Policy } from '../../../src/nn/policies/policy.ts';
import { taskWeightShapes, taskWeights } from '../../../src/nn/policies/task-weights.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import { type BoundInput, boundParameters, type Computation, type Engine } from '../../engine/engine.ts';
import type { MamlConfig } from './config.ts';
import { inner, type Rates } from './inner-step.ts';
import { type MamlNetworks, type MetaShapes, type MetaViews, readRates, readTask } from './networks.ts';
import type { WeightViews } from './task-computations.ts';

/** Arrays of the runs. K inner steps; lists of K + 1 begin with the weights before the first. */
type PathMemory = {
  /** [T, C], environment units. */
  readonly contexts: Float32Array;
  /** K + 1, written by `weights`. */
  readonly weights: readonly WeightViews[];
  /** K: of the inner loss in `weights[k]`; read by every run of later weights. */
  readonly slopes: readonly WeightViews[];
  /** K + 1, written by `forward`. */
  readonly tangents: readonly WeightViews[];
  /** K, read by `forward`. */
  readonly slopeTangents: readonly WeightViews[];
  /** Slopes of a function of the weights, read by `backward`. */
  readonly cotangent: WeightViews;
  /** K, written by `backward`. */
  readonly slopeCotangents: readonly WeightViews[];
};

export type TaskWeightsPath = {
  readonly memory: PathMemory;
  /** The weights after k steps, from the first k slopes. */
  weights(k: number): void;
  /** Derivative of the weights after k steps along `vector` and the tangents of the first k slopes. */
  forward(k: number): void;
  /** Slopes in the meta-parameters, into `gradients`, and in the first k slopes, from those in the weights after k steps. */
  backward(k: number): void;
  dispose(): void;
};

export type TaskWeightsPathOptions = {
  readonly engine: Engine;
  readonly networks: MamlNetworks;
  readonly config: Pick<MamlConfig, 'inner' | 'rate'>;
  readonly taskCount: number;
  readonly parameters: MetaViews;
  readonly vector: MetaViews;
  readonly gradients: MetaViews;
  readonly shapes: MetaShapes;
};

export function createTaskWeightsPath(options: TaskWeightsPathOptions): TaskWeightsPath {
  const memory = createPathMemory(options);
  const steps = memory.weights.map((_, k) => compileStep(options, memory, k));
  return {
    memory,
    weights: (k) => steps[k]!.weights.run(),
    forward: (k) => steps[k]!.forward.run(),
    backward: (k) => steps[k]!.backward.run(),
    dispose() {
      for (const step of steps) for (const computation of Object.values(step)) computation.dispose();
    },
  };
}

function createPathMemory({ networks, config, taskCount }: TaskWeightsPathOptions): PathMemory {
  const shapes = taskWeightShapes(networks.policy);
  const views = (): WeightViews => mapValues(shapes, (shape) => new Float32Array(taskCount * sizeOf(shape)));
  const list = (length: number) => Array.from({ length }, views);
  const { stepCount } = config.inner;
  return {
    contexts: new Float32Array(taskCount * networks.contextSize),
    weights: list(stepCount + 1),
    slopes: list(stepCount),
    tangents: list(stepCount + 1),
    slopeTangents: list(stepCount),
    cotangent: views(),
    slopeCotangents: list(stepCount),
  };
}

type Run = 'weights' | 'forward' | 'backward';

function compileStep(options: TaskWeightsPathOptions, memory: PathMemory, k: number): Record<Run, Computation> {
  const { engine, networks, taskCount, parameters, vector, gradients, shapes } = options;
  const { contextSize } = networks;
  const weightShapes = taskWeightShapes(networks.policy);
  const bound = (views: WeightViews): Record<string, BoundInput> =>
    mapValues(views, (data, name) => ({ shape: [taskCount, ...weightShapes[name]!], data }));
  const perStep = <T>(prefix: string, list: readonly WeightViews[], of: (views: WeightViews) => Record<string, T>) =>
    Object.assign({}, ...list.slice(0, k).map((views, i) => prefixed(`${prefix}${i}`, of(views)))) as Record<string, T>;
  const inputs = {
    ...boundParameters('meta', parameters, shapes),
    ...perStep('slope', memory.slopes, bound),
    ...(contextSize > 0 && { context: { shape: [taskCount, contextSize], data: memory.contexts } }),
  };
  const functions = pathFunctions(options, k);
  const compile = (run: Run, more: Record<string, BoundInput>, outputs: Record<string, Float32Array>) =>
    engine.compile({ name: `maml-${run}-${k}`, inputs: { ...inputs, ...more }, outputs, fn: functions[run] });
  return {
    weights: compile('weights', {}, prefixed('to', memory.weights[k]!)),
    forward: compile(
      'forward',
      {
        ...boundParameters('vector', vector, shapes),
        ...perStep('slopeTangent', memory.slopeTangents, bound),
      },
      prefixed('to', memory.tangents[k]!),
    ),
    backward: compile('backward', prefixed('cotangent', bound(memory.cotangent)), {
      ...prefixed('d', gradients),
      ...perStep('dSlope', memory.slopeCotangents, (views) => views),
    }),
  };
}

/** The three as functions of the bound tensors. */
function pathFunctions(
  options: TaskWeightsPathOptions,
  k: number,
): Record<Run, (inputs: Parameters) => Record<string, tf.Tensor>> {
  const isSecond = options.config.inner.order === 'second';
  /** Inputs of the weights: rates from the first step on, and slopes unless they are constants. */
  const isUsed = (name: string) => (name.startsWith('meta.') ? k > 0 || !name.startsWith('meta.rate.') : isSecond);
  const backwards = ({ at, weights }: WeightsAt, cotangent: Parameters) => {
    const used = Object.fromEntries(Object.entries(at).filter(([name]) => isUsed(name)));
    const along = (variables: Parameters) => inner(weights({ ...at, ...variables }), cotangent);
    return valueAndGradients(along, used).gradients;
  };
  return {
    weights(inputs) {
      const { at, weights } = weightsAt(options, k, inputs);
      return prefixed('to', weights(at));
    },
    forward(inputs) {
      const read = weightsAt(options, k, inputs);
      const direction = {
        ...renamed(inputs, /^vector\./, 'meta.'),
        ...renamed(inputs, /^slopeTangent(\d+)\./, 'slope$1.'),
      };
      // J' u is linear in u, so its slope along a direction is J x direction, wherever u is.
      const u = mapValues(read.weights(read.at), (weight) => tf.zerosLike(weight));
      const along = (cotangent: Parameters) => inner(backwards(read, cotangent), direction);
      return prefixed('to', valueAndGradients(along, u).gradients);
    },
    backward(inputs) {
      const read = weightsAt(options, k, inputs);
      const back = backwards(read, under('cotangent', inputs));
      const all = mapValues(read.at, (tensor, name) => back[name] ?? tf.zerosLike(tensor));
      return { ...renamed(all, /^meta\./, 'd.'), ...renamed(all, /^slope(\d+)\./, 'dSlope$1.') };
    },
  };
}

type WeightsAt = {
  /** Meta-parameters and slopes. */
  readonly at: Parameters;
  /** The weights after k steps as a function of these. */
  readonly weights: (variables: Parameters) => Parameters;
};

function weightsAt({ networks, config, taskCount }: TaskWeightsPathOptions, k: number, inputs: Parameters): WeightsAt {
  const { policy } = networks;
  const contexts = readTask(networks, inputs.context).context ?? tf.zeros<tf.Rank.R2>([taskCount, 0]);
  const startAt = (variables: Parameters): Start => {
    const meta = under('meta', variables);
    const slopes = Array.from({ length: k }, (_, i) => under(`slope${i}`, variables));
    return { parameters: under('policy', meta), contexts, slopes, rates: readRates(networks, config.rate, meta) };
  };
  const at = renamed(inputs, /^(meta|slope\d+)\./, '$&');
  // Found outside of what is differentiated, they are constants there.
  const constant = config.inner.order === 'second' ? undefined : layerSlopes(policy, startAt(at));
  const weights = (variables: Parameters) => {
    const start = startAt(variables);
    return weightsAfter(policy, start, constant ?? layerSlopes(policy, start));
  };
  return { at, weights };
}

/** Those whose names match, with the match replaced. */
const renamed = (tensors: Parameters, pattern: RegExp, to: string): Record<string, tf.Tensor> =>
  Object.fromEntries(
    Object.entries(tensors).flatMap(([name, tensor]) =>
      pattern.test(name) ? [[name.replace(pattern, to), tensor]] : [],
    ),
  );

/** A policy before adaptation, and the inner loss's slopes in the weights that each step starts from. */
type Start = {
  readonly parameters: Parameters;
  readonly contexts: tf.Tensor2D; // [T, C]
  readonly slopes: readonly Parameters[];
  readonly rates: Rates;
};

/**
 * The data of the layers that k steps need. A step more makes a graph longer by the same amount, however many there were: several are
 * below each other, [k, ...], and one is as it is.
 */
type LayerSlopes = {
  readonly stepCount: number;
  /** Inputs of the layers of common weights, [T, I]. */
  readonly inputs: Parameters;
  /** The loss's slope in each parameter of which tasks have their own, [T, ...]: that in a layer's bias is that in its output. */
  readonly gradients: Parameters;
};

/** Layer slopes of every step, undefined without one. */
function layerSlopes(policy: Policy, start: Start): LayerSlopes | undefined {
  let found: LayerSlopes | undefined;
  for (const slope of start.slopes) {
    const { common, own, map } = moved(policy, start, found);
    const inputs = new Map<tf.Tensor, tf.Tensor>();
    const weights = (values: Parameters, by: LinearMap) =>
      taskWeights(policy, { ...common, ...values }, start.contexts, by);
    weights(own, (parameters, name, x) => {
      inputs.set(parameters[`${name}.weight`]!, x);
      return map(parameters, name, x);
    });
    const { gradients } = valueAndGradients((values) => inner(weights(values, map), slope), own);
    const one = { inputs: mapValues(common, (weight) => inputs.get(weight)!), gradients, stepCount: 1 };
    found = found === undefined ? one : withStep(found, one);
  }
  return found;
}

function withStep({ stepCount, inputs, gradients }: LayerSlopes, one: LayerSlopes): LayerSlopes {
  const rows = (tensor: tf.Tensor) => (stepCount === 1 ? tf.expandDims(tensor, 0) : tensor);
  const below = (above: Parameters, last: Parameters) =>
    mapValues(last, (tensor, name) => tf.concat([rows(above[name]!), tf.expandDims(tensor, 0)], 0));
  return {
    stepCount: stepCount + 1,
    inputs: below(inputs, one.inputs),
    gradients: below(gradients, one.gradients),
  };
}

/** The weights of every task after the steps that were found. */
function weightsAfter(policy: Policy, start: Start, steps: LayerSlopes | undefined): Record<string, tf.Tensor> {
  const { common, own, map } = moved(policy, start, steps);
  return taskWeights(policy, { ...common, ...own }, start.contexts, map);
}

/** The policy of every task after the steps: what is common, what each task has of its own, and how a common layer is applied. */
function moved(policy: Policy, { parameters, contexts, rates }: Start, steps: LayerSlopes | undefined) {
  const { common, own } = separate(policy, parameters, contexts.shape[0]);
  if (steps === undefined) return { common, own, map: linear };
  const { inputs, gradients, stepCount } = steps;
  const ofSteps = (tensor: tf.Tensor) => (stepCount === 1 ? tensor : tf.sum(tensor, 0));
  const nameOf = new Map(Object.entries(common).map(([name, weight]) => [weight, name]));
  const map: LinearMap = (values, layer, x) => {
    const name = nameOf.get(values[`${layer}.weight`]!)!;
    const before = linear(values, layer, x);
    const along = timesRate(tf.mul(x, inputs[name]!), rates[name]!);
    return tf.sub(before, ofSteps(tf.mul(along, gradients[biasOf(name)]!)));
  };
  const after = mapValues(own, (value, name) => tf.sub(value, ofSteps(tf.mul(rates[name]!, gradients[name]!))));
  return { common, own: after, map };
}

/** x . input of each row, [..., I], times the rate: [..., 1] with one for the weight, [..., O] with one for each value. */
function timesRate(product: tf.Tensor, rate: tf.Tensor): tf.Tensor {
  if (rate.rank === 0) return tf.mul(tf.sum(product, -1, true), rate);
  const [inputSize, outputSize] = rate.shape as [number, number];
  return tf.reshape(tf.matMul(tf.reshape(product, [-1, inputSize]), rate), [...product.shape.slice(0, -1), outputSize]);
}

const biasOf = (weight: string): string => weight.replace(/weight$/, 'bias');

/**
 * The weights of layers with one input row a task, which are common to all; and the other parameters, a copy for every task.
 */
function separate(policy: Policy, parameters: Parameters, taskCount: number) {
  const isCommon = (name: string) =>
    policy.split !== undefined && name.endsWith('.weight') && biasOf(name) in parameters;
  const entries = Object.entries(parameters);
  return {
    common: Object.fromEntries(entries.filter(([name]) => isCommon(name))),
    own: Object.fromEntries(
      entries
        .filter(([name]) => !isCommon(name))
        .map(([name, tensor]) => [name, tf.broadcastTo(tf.expandDims(tensor, 0), [taskCount, ...tensor.shape])]),
    ) as Parameters,
  };
}
