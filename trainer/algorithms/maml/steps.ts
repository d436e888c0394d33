/** The steps of tasks: their arrays, and the tensors that losses read. */

import type * as tf from '@tensorflow/tfjs-core';
import { toNormalised } from '../../../src/nn/action-scaling.ts';
import { type Parameters, prefixed } from '../../../src/nn/parameters.ts';
import type { BoundInput } from '../../engine/engine.ts';
import type { TaskSteps } from './losses.ts';
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
};

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
  return { pre: steps(), post: steps() };
}

/** Inputs that read one task's steps, under `set.`: {@link readSteps} reads their tensors. */
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

/** Copies steps into arrays of the same sizes. */
export function copySteps(from: StepArrays, to: StepArrays): void {
  for (const name of Object.keys(to) as (keyof StepArrays)[]) to[name].set(from[name]);
}
