/**
 * The policies of T tasks, before or after adaptation, that act together: each task's network of the observation lies in one batch
 * of weights, and one run answers all rows.
 */

import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../../../src/contract/counts.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { mapValues } from '../../../src/contract/records.ts';
import { type Parameters, prefixed, under } from '../../../src/nn/parameters.ts';
import { actionOf } from '../../../src/nn/policies/policy.ts';
import { taskOutput, taskWeightShapes, taskWeights } from '../../../src/nn/policies/task-weights.ts';
import { type BoundInput, boundParameters, type Computation, type Engine } from '../../engine/engine.ts';
import { requireFiniteLoss } from '../../off-policy/finite-loss.ts';
import type { BatchPolicy } from '../../rollout/policy.ts';
import type { MamlConfig } from './config.ts';
import { adapt } from './inner-step.ts';
import { policyGradientLoss } from './losses.ts';
import { type MamlNetworks, type MetaShapes, type MetaViews, readRates, readTask } from './networks.ts';
import { copySteps, createTaskArrays, readSteps, type StepArrays, stepInputs } from './steps.ts';

export type TaskPolicies = BatchPolicy & {
  /** All tasks before adaptation. @param contexts [C] each, environment units */
  start(contexts: readonly ArrayLike<number>[]): void;
  /** One task after adaptation to its steps. @throws HyperpolicyError failed_precondition: an inner loss that is not finite */
  adapt(task: number, context: ArrayLike<number>, pre: StepArrays): void;
  /** The noise of the next actions: that of a step of this number. */
  seek(position: number): void;
};

export type TaskPoliciesOptions = {
  readonly engine: Engine;
  readonly networks: MamlNetworks;
  readonly config: Pick<MamlConfig, 'inner' | 'rate'>;
  /** Read by `start` and `adapt`. */
  readonly parameters: MetaViews;
  readonly shapes: MetaShapes;
  readonly taskCount: number;
  /** Rows of a task, one after the other. */
  readonly episodeCount: number;
  /** N of a task. */
  readonly stepCount: number;
  /** Seed of the actions' noise. */
  readonly seed: number;
  /** In place of that of the seed. */
  readonly noise?: ActionNoise | undefined;
};

export type ActionNoise = {
  /** Names the step of the next rows. */
  seek(position: number): void;
  /** Writes the rows of a step, [T, E, A], and goes on to the next step. */
  fill(rows: Float32Array): void;
};

/** Random stream of the noise; the environments' episodes have seeds of their own. */
const noiseStream = 6;

/** @param valueCount of the rows of a step */
function seededNoise(seed: number, valueCount: number): ActionNoise {
  const random = createRandom(seed, noiseStream);
  return {
    seek(position) {
      // A normal draw holds four values.
      random.position = position * Math.ceil(valueCount / 4);
    },
    fill: (rows) => random.fillNormal(rows),
  };
}

/**
 * Actions are samples, environment units, and not clipped: the density that the losses need is that of the sample.
 * Reference: pytorch-maml-rl, multi_task_sampler.py.
 */
export function createTaskPolicies(options: TaskPoliciesOptions): TaskPolicies {
  const { networks, taskCount, episodeCount, seed } = options;
  const { contextSize, actionSize } = networks;
  const { noise = seededNoise(seed, taskCount * episodeCount * actionSize) } = options;
  const memory = createMemory(options);
  const computations = {
    start: compileStart(options, memory),
    adapt: compileAdapt(options, memory),
    act: compileAct(options, memory),
  };
  return {
    start(contexts) {
      contexts.forEach((context, task) => {
        if (contextSize > 0) memory.contexts.set(context, task * contextSize);
      });
      computations.start.run();
    },
    adapt(task, context, pre) {
      if (contextSize > 0) memory.context.set(context);
      copySteps(pre, memory.pre);
      computations.adapt.run();
      requireFiniteLoss(`inner loss of task ${task}`, memory.loss[0]!);
      for (const [name, { data }] of Object.entries(memory.adapted)) {
        memory.weights[name]!.data.set(data, task * data.length);
      }
    },
    seek: (position) => noise.seek(position),
    act(observations, _, actions) {
      memory.observation.set(observations);
      noise.fill(memory.noise);
      computations.act.run();
      actions.set(memory.action);
    },
    dispose() {
      for (const computation of Object.values(computations)) computation.dispose();
    },
  };
}

/** The weights of all tasks before adaptation. */
const compileStart = (options: TaskPoliciesOptions, { contexts, weights }: Memory): Computation =>
  options.engine.compile({
    name: 'maml-start',
    inputs: { ...boundMeta(options), ...boundContext(options, options.taskCount, contexts) },
    outputs: prefixed('to', dataOf(weights)),
    fn: (inputs) => {
      const { networks, taskCount } = options;
      const read = readTask(networks, inputs.context).context ?? tf.zeros<tf.Rank.R2>([taskCount, 0]);
      return prefixed('to', taskWeights(networks.policy, under('meta.policy', inputs), read));
    },
  });

/** The weights of one task after adaptation. */
const compileAdapt = (options: TaskPoliciesOptions, { context, pre, adapted, loss }: Memory): Computation =>
  options.engine.compile({
    name: 'maml-adapt',
    inputs: {
      ...boundMeta(options),
      ...boundContext(options, 1, context),
      ...stepInputs('pre', pre, options.networks),
    },
    outputs: { ...prefixed('to', dataOf(adapted)), loss },
    fn: (inputs) => adaptation(options, inputs),
  });

/** The actions of all rows. */
function compileAct(options: TaskPoliciesOptions, memory: Memory): Computation {
  const { engine, networks, taskCount, episodeCount } = options;
  const { observationSize, actionSize, policy, scaling } = networks;
  return engine.compile({
    name: 'maml-act',
    inputs: {
      ...memory.weights,
      observation: { shape: [taskCount, episodeCount, observationSize], data: memory.observation },
      noise: { shape: [taskCount, episodeCount, actionSize], data: memory.noise },
    },
    outputs: { action: memory.action },
    fn: ({ observation, noise, ...weights }) => {
      const action = actionOf(policy, taskOutput(policy, weights, observation!), noise);
      return { action: tf.add(tf.mul(action, tf.tensor1d(scaling.half)), tf.tensor1d(scaling.centre)) };
    },
  });
}

const boundMeta = ({ parameters, shapes }: TaskPoliciesOptions): Named => boundParameters('meta', parameters, shapes);

const boundContext = ({ networks: { contextSize } }: TaskPoliciesOptions, count: number, data: Float32Array): Named =>
  contextSize > 0 ? { context: { shape: [count, contextSize], data } } : {};

/** The adapted policy as the tensors of its one context, and the loss before it. */
function adaptation({ networks, config }: TaskPoliciesOptions, inputs: Parameters): Record<string, tf.Tensor> {
  const meta = under('meta', inputs);
  const task = readTask(networks, inputs.context);
  const steps = readSteps(networks, under('pre', inputs));
  const loss = (parameters: Parameters) => policyGradientLoss(task, parameters, steps);
  const rates = readRates(networks, config.rate, meta);
  const adapted = adapt(loss, under('policy', meta), rates, config.inner);
  const weights = taskWeights(networks.policy, adapted, task.context ?? tf.zeros<tf.Rank.R2>([1, 0]));
  return { ...prefixed('to', weights), loss: loss(under('policy', meta)) };
}

type Named = Readonly<Record<string, BoundInput>>;

type Memory = ReturnType<typeof createMemory>;

function createMemory({ networks, taskCount, episodeCount, stepCount }: TaskPoliciesOptions) {
  const { contextSize, observationSize, actionSize, policy } = networks;
  const rowCount = taskCount * episodeCount;
  const sizes = taskWeightShapes(policy);
  const allocate = (count: number): Named =>
    mapValues(sizes, (shape) => ({ shape: [count, ...shape], data: new Float32Array(count * sizeOf(shape)) }));
  return {
    context: new Float32Array(contextSize),
    contexts: new Float32Array(taskCount * contextSize),
    pre: createTaskArrays(networks, stepCount).pre,
    weights: allocate(taskCount),
    adapted: allocate(1),
    loss: new Float32Array(1),
    observation: new Float32Array(rowCount * observationSize),
    noise: new Float32Array(rowCount * actionSize),
    action: new Float32Array(rowCount * actionSize),
  };
}

const dataOf = (named: Named): Record<string, Float32Array> => mapValues(named, ({ data }) => data);
