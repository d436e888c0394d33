/** TD3's losses as pure functions of tensors. Actions are normalised to [-1, 1]. */

import * as tf from '@tensorflow/tfjs-core';
import { ensembleQ, memberQ } from '../../../src/nn/critics/critic.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import type { Td3Config } from './config.ts';
import type { Td3Networks } from './networks.ts';

/** A batch as tensors; B rows. */
export type Transitions = {
  readonly observation: tf.Tensor2D; // [B, O]
  readonly action: tf.Tensor2D; // [B, A]
  readonly reward: tf.Tensor1D; // [B]
  readonly nextObservation: tf.Tensor2D; // [B, O]
  readonly terminated: tf.Tensor1D; // [B], 0 or 1
};

/**
 * Critic target y = r + gamma (1 - terminated) min(Q1', Q2')(s', a~), a~ = clip(pi'(s') + clip(sigma eps, -c, c), -1, 1).
 *
 * Source: Fujimoto et al. 2018, Algorithm 1. Truncation is not termination.
 * @param noise eps ~ N(0, I), [B, A]; an argument so that the step can be traced
 * @returns y, [B]; compute outside the gradient scope
 */
export function criticTarget(
  { actor, critic }: Td3Networks,
  { actor: targetActor, critic: targetCritic }: { actor: Parameters; critic: Parameters },
  { reward, nextObservation, terminated }: Transitions,
  noise: tf.Tensor2D,
  { gamma, targetNoise, targetNoiseClip }: Td3Config,
): tf.Tensor1D {
  const smoothing = tf.clipByValue(tf.mul(noise, targetNoise), -targetNoiseClip, targetNoiseClip);
  const nextAction: tf.Tensor2D = tf.clipByValue(tf.add(actor(targetActor, nextObservation), smoothing), -1, 1);
  const nextQ = tf.min(ensembleQ(critic, targetCritic, nextObservation, nextAction), 1); // [B]
  return tf.add(reward, tf.mul(tf.mul(tf.sub(1, terminated), gamma), nextQ));
}

/**
 * Sum over the twins of mean (Q_i(s, a) - y)^2.
 *
 * Source: Fujimoto et al. 2018, Algorithm 1 (released code: the sum of two means).
 */
export function criticLoss(
  { critic }: Td3Networks,
  parameters: Parameters,
  { observation, action }: Transitions,
  target: tf.Tensor1D,
): tf.Scalar {
  const q = ensembleQ(critic, parameters, observation, action); // [B, Q]
  return tf.sum(tf.mean(tf.squaredDifference(q, tf.expandDims(target, 1)), 0)); // []
}

/** - mean Q1(s, pi(s)). Source: Fujimoto et al. 2018, Algorithm 1. */
export function actorLoss(
  { actor, critic }: Td3Networks,
  actorParameters: Parameters,
  criticParameters: Parameters,
  observation: tf.Tensor2D,
): tf.Scalar {
  return tf.neg(tf.mean(memberQ(critic, 0, criticParameters, observation, actor(actorParameters, observation))));
}
