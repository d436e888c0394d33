/**
 * The two steps of a TD3 update: as functions of tensors, and as computations over a learner's arrays. Each gives a loss and the gradients
 * that an optimiser needs.
 */

import * as tf from '@tensorflow/tfjs-core';
import { specSizes } from '../../../src/contract/tensor-spec.ts';
import { type Parameters, prefixed, under } from '../../../src/nn/parameters.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import { boundParameters, type Computation, type Engine } from '../../engine/engine.ts';
import type { ActorCritic } from '../../off-policy/actor-critic.ts';
import {
  boundBatch,
  boundStates,
  type States,
  statesOf,
  type Transitions,
  transitionsOf,
} from '../../off-policy/transitions.ts';
import { type Batch, createBatch } from '../../replay/batch.ts';
import type { Td3Config } from './config.ts';
import { actorLoss, criticLoss, criticTarget } from './losses.ts';
import type { Td3Networks } from './networks.ts';

/**
 * The twins' loss and its gradients, at the target that the target networks give.
 * @param critic parameters of the critics: their members' or their stacks
 * @param noise of the target's smoothing, [B, A]
 */
export function criticStep(
  networks: Td3Networks,
  { critic, targets }: { readonly critic: Parameters; readonly targets: { actor: Parameters; critic: Parameters } },
  transitions: Transitions,
  noise: tf.Tensor2D,
  config: Td3Config,
): { readonly loss: tf.Scalar; readonly targetMean: tf.Scalar; readonly gradients: Parameters } {
  const target = criticTarget(networks, targets, transitions, noise, config);
  const { value, gradients } = valueAndGradients(
    (parameters) => criticLoss(networks, parameters, transitions, target),
    critic,
  );
  return { loss: value, targetMean: tf.mean(target), gradients };
}

/** The actor's loss and its gradients, at the first critic. */
export function actorStep(
  networks: Td3Networks,
  { actor, firstCritic }: { readonly actor: Parameters; readonly firstCritic: Parameters },
  { observation, context }: States,
): { readonly loss: tf.Scalar; readonly gradients: Parameters } {
  const { value, gradients } = valueAndGradients(
    (parameters) => actorLoss(networks, parameters, firstCritic, observation, context),
    actor,
  );
  return { loss: value, gradients };
}

/** The arrays that the steps read and write, beside parameters and gradients. */
export type StepMemory = {
  readonly batch: Batch;
  /** Noise of the target's smoothing, standard normal, [B, A]. */
  readonly noise: Float32Array;
  readonly criticLoss: Float32Array;
  readonly actorLoss: Float32Array;
  /** Mean of y over the batch. */
  readonly targetMean: Float32Array;
};

export function createStepMemory({ batchSize }: Td3Config, networks: Td3Networks): StepMemory {
  const sizes = specSizes(networks.specs);
  return {
    batch: createBatch({ size: batchSize, ...sizes }),
    noise: new Float32Array(batchSize * sizes.actionSize),
    criticLoss: new Float32Array(1),
    actorLoss: new Float32Array(1),
    targetMean: new Float32Array(1),
  };
}

export type StepOptions = {
  readonly engine: Engine;
  readonly config: Td3Config;
  readonly networks: Td3Networks;
  readonly parameters: ActorCritic;
  readonly memory: StepMemory;
};

export function compileCriticStep({ engine, config, networks, parameters, memory }: StepOptions): Computation {
  const { actor, critics } = parameters;
  const sizes = specSizes(networks.specs);
  return engine.compile({
    name: 'td3-critic',
    inputs: {
      ...boundParameters('critic', critics.parameters, critics.shapes),
      ...boundParameters('targetActor', actor.target, actor.shapes),
      ...boundParameters('targetCritic', critics.target, critics.shapes),
      ...boundBatch(memory.batch, sizes),
      noise: { shape: [config.batchSize, sizes.actionSize], data: memory.noise },
    },
    outputs: { loss: memory.criticLoss, targetMean: memory.targetMean, ...prefixed('d', critics.gradients) },
    fn: (inputs) => {
      const targets = { actor: under('targetActor', inputs), critic: under('targetCritic', inputs) };
      const { gradients, ...scalars } = criticStep(
        networks,
        { critic: under('critic', inputs), targets },
        transitionsOf(inputs, networks),
        inputs.noise as tf.Tensor2D,
        config,
      );
      return { ...scalars, ...prefixed('d', gradients) };
    },
  });
}

export function compileActorStep({ engine, networks, parameters, memory }: StepOptions): Computation {
  const { actor, firstCritic } = parameters;
  return engine.compile({
    name: 'td3-actor',
    inputs: {
      ...boundParameters('actor', actor.parameters, actor.shapes),
      ...boundParameters('critic', firstCritic.parameters, firstCritic.shapes),
      ...boundStates(boundBatch(memory.batch, specSizes(networks.specs))),
    },
    outputs: { loss: memory.actorLoss, ...prefixed('d', actor.gradients) },
    fn: (inputs) => {
      const { loss, gradients } = actorStep(
        networks,
        { actor: under('actor', inputs), firstCritic: under('critic', inputs) },
        statesOf(inputs, networks),
      );
      return { loss, ...prefixed('d', gradients) };
    },
  });
}
