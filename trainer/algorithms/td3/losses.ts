/** TD3's losses as pure functions of tensors. Actions are normalised to [-1, 1], contexts as the networks say. */

import * as tf from '@tensorflow/tfjs-core';
import { ensembleQ, memberQ } from '../../../src/nn/critics/critic.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { checkShapes } from '../../../src/nn/shapes.ts';
import type { Transitions } from '../../off-policy/transitions.ts';
import type { Td3Config } from './config.ts';
import type { Td3Networks } from './networks.ts';

/**
 * Critic target y = r + gamma (1 - terminated) min(Q1', Q2')(s', a~), a~ = clip(pi'(s') + clip(sigma eps, -c, c), -1, 1).
 *
 * Source: Fujimoto et al. 2018, Algorithm 1. Truncation is not termination.
 * @param noise eps ~ N(0, I), [B, A]; an argument so that the step can be traced
 * @returns y, [B]; compute outside the gradient scope
 * @throws HyperpolicyError invalid_argument: a rank or a size that differs, e.g. rewards of [B, 1]
 */
export function criticTarget(
  { actor, critic }: Td3Networks,
  { actor: targetActor, critic: targetCritic }: { actor: Parameters; critic: Parameters },
  { reward, nextObservation, terminated, context }: Transitions,
  noise: tf.Tensor2D,
  { gamma, targetNoise, targetNoiseClip }: Td3Config,
): tf.Tensor1D {
  checkShapes(
    'TD3 critic target',
    { nextObservation: ['B', 'O'], reward: ['B'], terminated: ['B'], noise: ['B', 'A'] },
    { nextObservation, reward, terminated, noise },
  );
  const smoothing = tf.clipByValue(tf.mul(noise, targetNoise), -targetNoiseClip, targetNoiseClip);
  const nextAction: tf.Tensor2D = tf.clipByValue(
    tf.add(actor(targetActor, nextObservation, context), smoothing),
    -1,
    1,
  );
  const nextQ = tf.min(ensembleQ(critic, targetCritic, nextObservation, nextAction, context), 1); // [B]
  return tf.add(reward, tf.mul(tf.mul(tf.sub(1, terminated), gamma), nextQ));
}

/**
 * Sum over the twins of mean (Q_i(s, a) - y)^2.
 *
 * Source: Fujimoto et al. 2018, Algorithm 1 (released code: the sum of two means).
 * @throws HyperpolicyError invalid_argument: a rank or a size that differs
 */
export function criticLoss(
  { critic }: Td3Networks,
  parameters: Parameters,
  { observation, action, context }: Pick<Transitions, 'observation' | 'action' | 'context'>,
  target: tf.Tensor1D,
): tf.Scalar {
  checkShapes(
    'TD3 critic loss',
    { observation: ['B', 'O'], action: ['B', 'A'], target: ['B'] },
    { observation, action, target },
  );
  const q = ensembleQ(critic, parameters, observation, action, context); // [B, Q]
  return tf.sum(tf.mean(tf.squaredDifference(q, tf.expandDims(target, 1)), 0)); // []
}

/**
 * - mean Q1(s, pi(s)).
 *
 * Source: Fujimoto et al. 2018, Algorithm 1.
 * @throws HyperpolicyError invalid_argument: a rank or a size that differs
 */
export function actorLoss(
  { actor, critic }: Td3Networks,
  actorParameters: Parameters,
  criticParameters: Parameters,
  observation: tf.Tensor2D,
  context?: tf.Tensor2D,
): tf.Scalar {
  checkShapes('TD3 actor loss', { observation: ['B', 'O'] }, { observation });
  const action = actor(actorParameters, observation, context);
  return tf.neg(tf.mean(memberQ(critic, 0, criticParameters, observation, action, context)));
}
