/**
 * The two steps of an update as functions of tensors: Q and the encoder first, then V and the policy at the Qs just stepped. z and
 * the drawn actions are those of the networks before the update. Nothing here holds state.
 */

import * as tf from '@tensorflow/tfjs-core';
import { type Parameters, prefixed, under } from '../../../src/nn/parameters.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import type { PearlConfig } from './config.ts';
import {
  type Context,
  divergence,
  drawActions,
  drawLatent,
  policyTerms,
  posteriorOf,
  qLosses,
  qTarget,
  smallerQ,
  type Transitions,
  valueLoss,
} from './losses.ts';
import type { Latent, PearlNetworks, TaskNetworks } from './networks.ts';

export type QStep = {
  /** z of each task, [N, Z]: the second step takes it as an input. */
  readonly latent: tf.Tensor2D;
  /** KL(posterior || prior), unweighted. */
  readonly kl: tf.Scalar;
  /** y, [N B]. */
  readonly target: tf.Tensor1D;
  /** Losses of each twin, [Q]. */
  readonly losses: tf.Tensor1D;
  /** Gradients of the losses' sum, by the Qs' parameter names. */
  readonly q: Parameters;
  /** Gradients of the losses' sum and the weighted divergence, by the encoder's parameter names. */
  readonly encoder: Parameters;
};

/** @param noise draws z, [N, Z] */
export function qStep(
  networks: PearlNetworks,
  parameters: { readonly encoder: Parameters; readonly q: Parameters; readonly targetValue: Parameters },
  { context, transitions }: { readonly context: Context; readonly transitions: Transitions },
  noise: tf.Tensor2D,
  config: PearlConfig,
): QStep {
  const posteriorAt = (encoder: Parameters) => posteriorOf(networks, encoder, context);
  const posterior = posteriorAt(parameters.encoder);
  const latent = drawLatent(posterior, noise);
  const target = qTarget(networks, parameters.targetValue, transitions, latent, config);
  const { gradients } = valueAndGradients(
    (variables) => {
      const drawn = posteriorAt(under('encoder', variables));
      const losses = qLosses(networks, under('q', variables), transitions, drawLatent(drawn, noise), target);
      return tf.add(tf.sum(losses), tf.mul(divergence(drawn), config.klWeight));
    },
    { ...prefixed('encoder', parameters.encoder), ...prefixed('q', parameters.q) },
  );
  return {
    latent,
    kl: divergence(posterior),
    target,
    losses: qLosses(networks, parameters.q, transitions, latent, target),
    q: under('q', gradients),
    encoder: under('encoder', gradients),
  };
}

/** The same if z is given: the task itself, or none. */
export function givenQStep(
  networks: TaskNetworks,
  parameters: { readonly q: Parameters; readonly targetValue: Parameters },
  transitions: Transitions,
  latent: Latent,
  config: PearlConfig,
): Pick<QStep, 'target' | 'losses' | 'q'> {
  const target = qTarget(networks, parameters.targetValue, transitions, latent, config);
  const lossesAt = (q: Parameters) => qLosses(networks, q, transitions, latent, target);
  const { gradients } = valueAndGradients((q) => tf.sum(lossesAt(q)), parameters.q);
  return { target, losses: lossesAt(parameters.q), q: gradients };
}

export type PolicyStep = {
  readonly valueLoss: tf.Scalar;
  readonly policyLoss: tf.Scalar;
  /** - mean log pi of the drawn actions, nats. */
  readonly entropy: tf.Scalar;
  /** By their parameter names. */
  readonly value: Parameters;
  readonly policy: Parameters;
};

/**
 * @param latent z of the first step, a constant
 * @param noise draws the actions, [N B, A]
 */
export function policyStep(
  networks: TaskNetworks,
  parameters: { readonly policy: Parameters; readonly value: Parameters; readonly q: Parameters },
  observation: tf.Tensor2D,
  latent: Latent,
  noise: tf.Tensor2D,
  config: PearlConfig,
): PolicyStep {
  const drawAt = (policy: Parameters) => drawActions(networks, policy, observation, latent, noise);
  const qAt = (action: tf.Tensor2D) => smallerQ(networks, parameters.q, observation, action, latent);
  const draw = drawAt(parameters.policy);
  const valueTarget: tf.Tensor1D = tf.sub(qAt(draw.action), draw.logProb);
  const ofValue = valueAndGradients(
    (value) => valueLoss(networks, value, observation, latent, valueTarget),
    parameters.value,
  );
  const ofPolicy = valueAndGradients((policy) => {
    const own = drawAt(policy);
    const { objective, meanPenalty, logStdPenalty } = policyTerms(own, qAt(own.action), config);
    return tf.add(tf.add(objective, meanPenalty), logStdPenalty);
  }, parameters.policy);
  return {
    valueLoss: ofValue.value,
    policyLoss: ofPolicy.value,
    entropy: tf.neg(tf.mean(draw.logProb)),
    value: ofValue.gradients,
    policy: ofPolicy.gradients,
  };
}
