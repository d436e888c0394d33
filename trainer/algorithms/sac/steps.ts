/**
 * The two steps of a SAC update: as functions of tensors, and as computations over a learner's arrays. The critics' comes first; the
 * actor's is taken at the critics that have just been stepped, so between the two an optimiser runs.
 */

import * as tf from '@tensorflow/tfjs-core';
import { specSizes } from '../../../src/contract/tensor-spec.ts';
import { type Parameters, prefixed, under } from '../../../src/nn/parameters.ts';
import type { Trainable } from '../../../src/optim/trainable.ts';
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
import type { SacConfig } from './config.ts';
import { actorLoss, criticLosses, criticTarget, sampleActions, temperatureLoss } from './losses.ts';
import type { SacNetworks } from './networks.ts';

export type CriticStep = {
  /** y, [B]. */
  readonly target: tf.Tensor1D;
  /** Losses of each twin, [Q]. */
  readonly losses: tf.Tensor1D;
  /** Gradients of the losses' sum, by the critic's parameter names. */
  readonly gradients: Parameters;
};

/**
 * The twins' losses and their gradients at the target that all other networks give.
 * @param parameters of the critic: its members' or its stacks
 * @param noise draws a' at s', [B, A]
 * @param logAlpha the temperature's logarithm, []
 */
export function criticStep(
  networks: SacNetworks,
  {
    actor,
    critic,
    targetCritic,
  }: { readonly actor: Parameters; readonly critic: Parameters; readonly targetCritic: Parameters },
  transitions: Transitions,
  noise: tf.Tensor2D,
  logAlpha: tf.Scalar,
  config: SacConfig,
): CriticStep {
  const target = criticTarget(networks, { actor, targetCritic }, transitions, noise, tf.exp(logAlpha), config);
  const lossesAt = (parameters: Parameters) => criticLosses(networks, parameters, transitions, target);
  const { gradients } = valueAndGradients((parameters) => tf.sum(lossesAt(parameters)), critic);
  return { target, losses: lossesAt(critic), gradients };
}

export type ActorStep = {
  readonly loss: tf.Scalar;
  /** By the actor's parameter names. */
  readonly gradients: Parameters;
  /** - mean log pi of the drawn actions, nats. */
  readonly entropy: tf.Scalar;
  /** The temperature's loss for the same actions, and its gradient with respect to log alpha. */
  readonly temperatureLoss: tf.Scalar;
  readonly temperatureGradient: tf.Scalar;
};

/**
 * The actor's loss at the critics given, and the temperature's.
 * @param noise draws a at s, [B, A]
 * @param logAlpha the temperature's logarithm, []
 */
export function actorStep(
  networks: SacNetworks,
  { actor, critic }: { readonly actor: Parameters; readonly critic: Parameters },
  states: States,
  noise: tf.Tensor2D,
  logAlpha: tf.Scalar,
  targetEntropy: number,
): ActorStep {
  const temperature: tf.Scalar = tf.exp(logAlpha);
  const { value, gradients } = valueAndGradients(
    (parameters) => actorLoss(networks, { actor: parameters, critic }, states, noise, temperature),
    actor,
  );
  const { logProb } = sampleActions(networks, actor, states, noise);
  const ofTemperature = valueAndGradients(
    (variables) => temperatureLoss(variables.logAlpha as tf.Scalar, logProb, targetEntropy),
    { logAlpha },
  );
  return {
    loss: value,
    gradients,
    entropy: tf.neg(tf.mean(logProb)),
    temperatureLoss: ofTemperature.value,
    temperatureGradient: ofTemperature.gradients.logAlpha as tf.Scalar,
  };
}

/** Nats; minus the number of action values unless given. */
export const targetEntropyOf = ({ targetEntropy }: SacConfig, networks: SacNetworks): number =>
  targetEntropy ?? -specSizes(networks.specs).actionSize;

/** The arrays that the steps read and write, beside parameters and gradients. */
export type StepMemory = {
  readonly batch: Batch;
  /** Standard normal draws of the actions at s' and at s, [B, A] each. */
  readonly nextNoise: Float32Array;
  readonly noise: Float32Array;
  readonly criticLosses: Float32Array;
  /** Mean of y over the batch. */
  readonly targetMean: Float32Array;
  readonly actorLoss: Float32Array;
  readonly entropy: Float32Array;
  readonly temperatureLoss: Float32Array;
};

export function createStepMemory({ batchSize }: SacConfig, networks: SacNetworks): StepMemory {
  const sizes = specSizes(networks.specs);
  const scalar = () => new Float32Array(1);
  return {
    batch: createBatch({ size: batchSize, ...sizes }),
    nextNoise: new Float32Array(batchSize * sizes.actionSize),
    noise: new Float32Array(batchSize * sizes.actionSize),
    criticLosses: new Float32Array(networks.critic.ensembleSize),
    targetMean: scalar(),
    actorLoss: scalar(),
    entropy: scalar(),
    temperatureLoss: scalar(),
  };
}

export type StepOptions = {
  readonly engine: Engine;
  readonly config: SacConfig;
  readonly networks: SacNetworks;
  readonly parameters: ActorCritic;
  /** Its only parameter is `logAlpha`, []. */
  readonly temperature: Trainable;
  readonly memory: StepMemory;
};

export function compileCriticStep(options: StepOptions): Computation {
  const { engine, config, networks, parameters, temperature, memory } = options;
  const { actor, critics } = parameters;
  const sizes = specSizes(networks.specs);
  return engine.compile({
    name: 'sac-critic',
    inputs: {
      ...boundParameters('actor', actor.parameters, actor.shapes),
      ...boundParameters('critic', critics.parameters, critics.shapes),
      ...boundParameters('targetCritic', critics.target, critics.shapes),
      ...boundBatch(memory.batch, sizes),
      noise: { shape: [config.batchSize, sizes.actionSize], data: memory.nextNoise },
      logAlpha: { shape: [], data: temperature.parameters.logAlpha! },
    },
    outputs: {
      losses: memory.criticLosses,
      targetMean: memory.targetMean,
      ...prefixed('d', critics.gradients),
    },
    fn: (inputs) => {
      const step = criticStep(
        networks,
        { actor: under('actor', inputs), critic: under('critic', inputs), targetCritic: under('targetCritic', inputs) },
        transitionsOf(inputs, networks),
        inputs.noise as tf.Tensor2D,
        inputs.logAlpha as tf.Scalar,
        config,
      );
      return { losses: step.losses, targetMean: tf.mean(step.target), ...prefixed('d', step.gradients) };
    },
  });
}

export function compileActorStep(options: StepOptions): Computation {
  const { engine, config, networks, parameters, temperature, memory } = options;
  const { actor, critics } = parameters;
  const sizes = specSizes(networks.specs);
  return engine.compile({
    name: 'sac-actor',
    inputs: {
      ...boundParameters('actor', actor.parameters, actor.shapes),
      ...boundParameters('critic', critics.parameters, critics.shapes),
      ...boundStates(boundBatch(memory.batch, sizes)),
      noise: { shape: [config.batchSize, sizes.actionSize], data: memory.noise },
      logAlpha: { shape: [], data: temperature.parameters.logAlpha! },
    },
    outputs: {
      loss: memory.actorLoss,
      entropy: memory.entropy,
      temperatureLoss: memory.temperatureLoss,
      temperatureGradient: temperature.gradients.logAlpha!,
      ...prefixed('d', actor.gradients),
    },
    fn: (inputs) => {
      const { gradients, ...scalars } = actorStep(
        networks,
        { actor: under('actor', inputs), critic: under('critic', inputs) },
        statesOf(inputs, networks),
        inputs.noise as tf.Tensor2D,
        inputs.logAlpha as tf.Scalar,
        targetEntropyOf(config, networks),
      );
      return { ...scalars, ...prefixed('d', gradients) };
    },
  });
}
