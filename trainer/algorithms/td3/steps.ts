/** The two steps of a TD3 update as computations over a learner's arrays: each writes a loss and the gradients that an optimiser needs. */

import * as tf from '@tensorflow/tfjs-core';
import { prefixed, under } from '../../../src/nn/parameters.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import { boundGradients, boundParameters, type Computation, type Engine } from '../../engine/engine.ts';
import type { ActorCritic } from '../../off-policy/actor-critic.ts';
import { sizesOf } from '../../off-policy/networks.ts';
import { boundBatch, boundStates, statesOf, transitionsOf } from '../../off-policy/transitions.ts';
import { type Batch, createBatch } from '../../replay/batch.ts';
import type { Td3Config } from './config.ts';
import { actorLoss, criticLoss, criticTarget } from './losses.ts';
import type { Td3Networks } from './networks.ts';

/** The arrays that the steps read and write, beside parameters and gradients. */
export type StepMemory = {
  readonly batch: Batch;
  /** Of the target's smoothing, standard normal, [B, A]. */
  readonly noise: Float32Array;
  readonly criticLoss: Float32Array;
  readonly actorLoss: Float32Array;
  /** Mean of y over the batch. */
  readonly targetMean: Float32Array;
};

export function createStepMemory({ batchSize }: Td3Config, networks: Td3Networks): StepMemory {
  const sizes = sizesOf(networks);
  return {
    batch: createBatch({ size: batchSize, ...sizes }),
    noise: new Float32Array(batchSize * sizes.actionSize),
    criticLoss: new Float32Array(1),
    actorLoss: new Float32Array(1),
    targetMean: new Float32Array(1),
  };
}

type StepOptions = {
  readonly engine: Engine;
  readonly config: Td3Config;
  readonly networks: Td3Networks;
  readonly parameters: ActorCritic;
  readonly memory: StepMemory;
};

/** The twins' loss and its gradients, at the target that the target networks give. */
export function compileCriticStep({ engine, config, networks, parameters, memory }: StepOptions): Computation {
  const { actor, critics } = parameters;
  const sizes = sizesOf(networks);
  return engine.compile({
    name: 'td3-critic',
    inputs: {
      ...boundParameters('critic', critics.parameters, critics.shapes),
      ...boundParameters('targetActor', actor.target, actor.shapes),
      ...boundParameters('targetCritic', critics.target, critics.shapes),
      ...boundBatch(memory.batch, sizes),
      noise: { shape: [config.batchSize, sizes.actionSize], data: memory.noise },
    },
    outputs: { loss: memory.criticLoss, targetMean: memory.targetMean, ...boundGradients('d', critics.gradients) },
    fn: (inputs) => {
      const transitions = transitionsOf(inputs, networks);
      const targets = { actor: under('targetActor', inputs), critic: under('targetCritic', inputs) };
      const target = criticTarget(networks, targets, transitions, inputs.noise as tf.Tensor2D, config);
      const { value, gradients } = valueAndGradients(
        (values) => criticLoss(networks, values, transitions, target),
        under('critic', inputs),
      );
      return { loss: value, targetMean: tf.mean(target), ...prefixed('d', gradients) };
    },
  });
}

/** The actor's loss and its gradients, at the first critic. */
export function compileActorStep({ engine, networks, parameters, memory }: Omit<StepOptions, 'config'>): Computation {
  const { actor, firstCritic } = parameters;
  return engine.compile({
    name: 'td3-actor',
    inputs: {
      ...boundParameters('actor', actor.parameters, actor.shapes),
      ...boundParameters('critic', firstCritic.parameters, firstCritic.shapes),
      ...boundStates(boundBatch(memory.batch, sizesOf(networks))),
    },
    outputs: { loss: memory.actorLoss, ...boundGradients('d', actor.gradients) },
    fn: (inputs) => {
      const critic = under('critic', inputs);
      const { observation, context } = statesOf(inputs, networks);
      const { value, gradients } = valueAndGradients(
        (values) => actorLoss(networks, values, critic, observation, context),
        under('actor', inputs),
      );
      return { loss: value, ...prefixed('d', gradients) };
    },
  });
}
