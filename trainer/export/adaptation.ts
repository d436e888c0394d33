/** Exports what adapts a model, as the graph contract asks: an encoder of transitions, or an inner step on generated weights. */

import * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../../src/contract/counts.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { SpecSizes } from '../../src/contract/tensor-spec.ts';
import { toNormalised } from '../../src/nn/action-scaling.ts';
import type { Encoder } from '../../src/nn/encoders/encoder.ts';
import { normalise } from '../../src/nn/normalisation.ts';
import type { Parameters } from '../../src/nn/parameters.ts';
import { logProbOf, type Policy, type PolicySplit } from '../../src/nn/policies/policy.ts';
import { taskWeightShapes } from '../../src/nn/policies/task-weights.ts';
import type { Units } from '../../src/nn/units.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import { adaptedWeightCountMax } from '../../src/package/package.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { trace } from '../../src/trace/trace.ts';
import {
  asConstants,
  type GraphFile,
  graphFile,
  layersFrom,
  type NetworkFiles,
  type NetworkParameters,
} from './graphs.ts';
import type { PolicyExport } from './policy.ts';

/** Transitions are observation, action, reward and, if it is read, the next observation side by side. */
export type EncoderExport = Pick<Units, 'scaling' | 'observation'> & {
  readonly encoder: Encoder;
  /** False if absent. */
  readonly readsNextObservation?: boolean | undefined;
  readonly parameters: NetworkParameters;
  /** See the manifest: `start` as published. */
  readonly prior: NonNullable<Manifest['encoder']>['prior'];
};

export type StepExport = {
  readonly stepSize: number;
  /** Settings of the advantages; see policy-gradient.ts. */
  readonly discount: number;
  readonly lambda: number;
};

type Steps = { readonly observation: tf.Tensor; readonly action: tf.Tensor };

/** Transitions in environment units. */
export type EncoderInputs = Steps & {
  readonly reward: tf.Tensor; // [N]
  readonly nextObservation?: tf.Tensor | undefined; // [N, O]
  /** Memory of a recurrent encoder. */
  readonly memory?: tf.Tensor | undefined; // [N, M]
};

/** Outputs of the encoder for each transition, by the names in `encoderOutputs`, [N, size] each. */
export function encoderResults(
  { encoder, scaling, observation: normalisation }: Pick<EncoderExport, 'encoder' | 'scaling' | 'observation'>,
  parameters: Parameters,
  { observation, action, reward, nextObservation, memory }: EncoderInputs,
): Record<string, tf.Tensor> {
  const parts = [normalise(normalisation, observation), toNormalised(scaling, action), tf.expandDims(reward, 1)];
  const next = nextObservation === undefined ? [] : [normalise(normalisation, nextObservation)];
  const transitions = tf.concat([...parts, ...next], 1) as tf.Tensor2D;
  return encoder.steps.outputs(parameters, transitions, memory as tf.Tensor2D | undefined);
}

/**
 * `encoder.onnx`: observation [N, O], action [N, A], reward [N], if they are read next_observation [N, O] and memory [N, M] -> the
 * outputs of `encoderOutputs`.
 */
export function exportEncoder(options: EncoderExport, { observationSize, actionSize }: SpecSizes): GraphFile {
  const { encoder, readsNextObservation = false } = options;
  const { memorySize } = encoder.steps;
  const inputs = {
    observation: { shape: ['N', observationSize] },
    action: { shape: ['N', actionSize] },
    reward: { shape: ['N'] },
    ...(readsNextObservation && { next_observation: { shape: ['N', observationSize] } }),
    ...(memorySize > 0 && { memory: { shape: ['N', memorySize] } }),
  };
  const graph = trace('encoder', inputs, (tensors) =>
    encoderResults(options, asConstants(options.parameters), encoderInputs(tensors)),
  );
  return graphFile('encoder.onnx', graph);
}

/** From the tensors of the graph's names. */
export const encoderInputs = (tensors: Readonly<Record<string, tf.Tensor>>): EncoderInputs => ({
  observation: tensors.observation!,
  action: tensors.action!,
  reward: tensors.reward!,
  nextObservation: tensors.next_observation,
  memory: tensors.memory,
});

/**
 * The weights after one inner step, each as `adapted_<name>`.
 * @param weights of one context, by their names in the primary's outputs, each [1, ...]
 */
export function stepResults(
  { policy, scaling, observation: normalisation }: PolicyExport,
  stepSize: number,
  { split, parameters, weights }: { split: PolicySplit; parameters: Parameters; weights: Parameters },
  { observation, action, coefficient }: Steps & { readonly coefficient: tf.Tensor },
): Record<string, tf.Tensor> {
  const states = normalise(normalisation, observation);
  const actions = toNormalised(scaling, action);
  const { gradients } = valueAndGradients((variables) => {
    const output = split.evaluate(parameters, layersFrom(variables), states);
    return tf.sum(tf.mul(coefficient, logProbOf(policy, output, actions))) as tf.Scalar;
  }, weights);
  return Object.fromEntries(
    Object.entries(weights).map(([name, weight]) => [
      `adapted_${name}`,
      tf.add(weight, tf.mul(gradients[name]!, stepSize)),
    ]),
  );
}

/**
 * `adapt.onnx`: the weights, observation [N, O], action [N, A], coefficient [N] -> the adapted weights.
 * @param files of the policy
 * @throws HyperpolicyError invalid_argument for a policy whose weights no primary generates, or without a density
 */
export function exportStep(
  options: PolicyExport | null,
  { stepSize }: StepExport,
  files: NetworkFiles | null,
): GraphFile {
  if (options === null || files?.kind !== 'hyper') throw notAdaptable(options);
  const split = splitOf(options);
  const { observationSize, actionSize } = options.policy.sizes;
  const inputs = {
    ...Object.fromEntries(
      files.primary.graph.outputs.map(({ name, shape }) => [name, { shape: [1, ...shape.slice(1)] }]),
    ),
    observation: { shape: ['N', observationSize] },
    action: { shape: ['N', actionSize] },
    coefficient: { shape: ['N'] },
  };
  const graph = trace('adapt', inputs, ({ observation, action, coefficient, ...weights }) =>
    stepResults(
      options,
      stepSize,
      { split, parameters: asConstants(options.parameters), weights },
      { observation: observation!, action: action!, coefficient: coefficient! },
    ),
  );
  return graphFile('adapt.onnx', graph);
}

/** @throws HyperpolicyError invalid_argument for a policy whose weights no primary generates, or without a density */
export function splitOf(options: PolicyExport): PolicySplit {
  const { split, distribution } = options.policy;
  if (split === undefined || distribution === 'deterministic') throw notAdaptable(options);
  return split;
}

const notAdaptable = (options: PolicyExport | null) =>
  invalidArgument({
    where: 'export of an inner step',
    expected: 'a stochastic hyper policy',
    actual: options?.policy.architecture ?? 'none',
  });

/**
 * Call before a training whose policy is published: a package holds a probe of the adapted policy.
 * @throws HyperpolicyError invalid_argument: it has too many weights in a task
 */
export function requireRoomForAdapted(where: string, policy: Policy): void {
  const count = Object.values(taskWeightShapes(policy)).reduce((sum, shape) => sum + sizeOf(shape), 0);
  if (count <= adaptedWeightCountMax) return;
  throw invalidArgument({
    where,
    expected: `a policy of at most ${adaptedWeightCountMax} weights in a task, as its package holds an adapted one`,
    actual: `${count}`,
    remedy: 'Take narrower layers, or publish nothing (--publish none)',
  });
}
