/** A batch of transitions inside a computation: inputs that are bound to its arrays, and the tensors of these inputs. */

import type * as tf from '@tensorflow/tfjs-core';
import type { SpecSizes } from '../../src/contract/tensor-spec.ts';
import { toNormalised } from '../../src/nn/action-scaling.ts';
import { normalise } from '../../src/nn/normalisation.ts';
import type { BoundInput } from '../engine/engine.ts';
import type { Batch } from '../replay/batch.ts';
import type { ActorCriticNetworks } from './networks.ts';

/** A batch as tensors; B rows. Actions are normalised to [-1, 1], contexts as the networks say. */
export type Transitions = {
  readonly observation: tf.Tensor2D; // [B, O]
  readonly action: tf.Tensor2D; // [B, A]
  readonly reward: tf.Tensor1D; // [B]
  readonly nextObservation: tf.Tensor2D; // [B, O]
  readonly terminated: tf.Tensor1D; // [B], 0 or 1
  /** The task, if the networks read it. */
  readonly context?: tf.Tensor2D | undefined; // [B, C]
};

/** Inputs of a policy. */
export type States = Pick<Transitions, 'observation' | 'context'>;

/** Inputs of a computation that read a batch's arrays, under the names of the fields. */
export function boundBatch(
  { size, ...batch }: Batch,
  { observationSize, actionSize, contextSize }: SpecSizes,
): Record<keyof Omit<Transitions, 'context'>, BoundInput> & { readonly context?: BoundInput } {
  return {
    observation: { shape: [size, observationSize], data: batch.observation },
    action: { shape: [size, actionSize], data: batch.action },
    reward: { shape: [size], data: batch.reward },
    nextObservation: { shape: [size, observationSize], data: batch.nextObservation },
    terminated: { shape: [size], data: batch.terminated },
    ...(contextSize > 0 && { context: { shape: [size, contextSize], data: batch.context } }),
  };
}

/** The bound inputs that a policy reads. */
export const boundStates = ({ observation, context }: ReturnType<typeof boundBatch>): Record<string, BoundInput> =>
  context === undefined ? { observation } : { observation, context };

/** The tensors of {@link boundStates}, normalised. */
export function statesOf(
  inputs: Readonly<Record<string, tf.Tensor>>,
  { contextNormalisation }: Pick<ActorCriticNetworks, 'contextNormalisation'>,
): States {
  const { observation, context } = inputs as unknown as States;
  return context === undefined ? { observation } : { observation, context: normalise(contextNormalisation, context) };
}

/** The tensors of {@link boundBatch}, normalised. */
export function transitionsOf(
  inputs: Readonly<Record<string, tf.Tensor>>,
  networks: Pick<ActorCriticNetworks, 'scaling' | 'contextNormalisation'>,
): Transitions {
  return {
    ...(inputs as unknown as Transitions),
    ...statesOf(inputs, networks),
    action: toNormalised(networks.scaling, inputs.action!) as tf.Tensor2D,
  };
}

/** Copies a batch into arrays of the same sizes. */
export function copyBatch(from: Batch, to: Batch): void {
  to.observation.set(from.observation);
  to.action.set(from.action);
  to.reward.set(from.reward);
  to.nextObservation.set(from.nextObservation);
  to.terminated.set(from.terminated);
  to.context.set(from.context);
}
