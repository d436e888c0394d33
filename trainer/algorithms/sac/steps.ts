/** The two steps of an update as functions of tensors: what each optimiser needs. The learner traces them; nothing here holds state. */

import * as tf from '@tensorflow/tfjs-core';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import type { SacConfig } from './config.ts';
import {
  actorLoss,
  criticLosses,
  criticTarget,
  type States,
  sampleActions,
  type Transitions,
  temperatureLoss,
} from './losses.ts';
import type { SacNetworks } from './networks.ts';

export type CriticStep = {
  /** y, [B]. */
  readonly target: tf.Tensor1D;
  /** Of each twin, [Q]. */
  readonly losses: tf.Tensor1D;
  /** Of the losses' sum, by the critic's parameter names. */
  readonly gradients: Parameters;
};

/**
 * The twins' losses and their gradients at the target that all other networks give.
 * @param parameters of the critic: its members' or its stacks
 * @param noise draws a' at s', [B, A]
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
  temperature: tf.Scalar,
  config: SacConfig,
): CriticStep {
  const target = criticTarget(networks, { actor, targetCritic }, transitions, noise, temperature, config);
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
  /** Of the temperature's loss: the loss and its gradient with respect to log alpha; both are 0 in effect where alpha is fixed. */
  readonly temperatureLoss: tf.Scalar;
  readonly temperatureGradient: tf.Scalar;
};

/**
 * The actor's loss at the critics given, and the temperature's for the same actions.
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
