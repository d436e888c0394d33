/**
 * SAC's losses as pure functions of tensors. Actions are normalised to [-1, 1], and so are log-densities and entropies; contexts
 * are normalised too if there are any.
 */

import * as tf from '@tensorflow/tfjs-core';
import { ensembleQ } from '../../../src/nn/critics/critic.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { sampleOf } from '../../../src/nn/policies/policy.ts';
import { checkShapes } from '../../../src/nn/shapes.ts';
import { outputAt } from '../../off-policy/asking.ts';
import type { States, Transitions } from '../../off-policy/transitions.ts';
import type { SacConfig } from './config.ts';
import type { SacNetworks } from './networks.ts';

/**
 * The actions that the noise picks, with their log-densities.
 * @param noise N(0, I), [B, A]; an argument so that the step can be traced
 */
export function sampleActions(
  networks: SacNetworks,
  parameters: Parameters,
  states: States,
  noise: tf.Tensor2D,
): { action: tf.Tensor2D; logProb: tf.Tensor1D } {
  const { policy } = networks;
  const { observation } = states;
  checkShapes(
    'SAC actions',
    { observation: ['B', 'O'], noise: ['B', policy.sizes.actionSize] },
    { observation, noise },
  );
  const { action, logProb } = sampleOf(policy, outputAt(networks, parameters, states), noise);
  return { action: action as tf.Tensor2D, logProb: logProb as tf.Tensor1D };
}

/**
 * Critic target y = k r + gamma (1 - terminated) (min(Q1', Q2')(s', a') - alpha log pi(a' | s')), a' drawn at s', k the reward scale.
 *
 * Source: Haarnoja et al. 2018b, equations 3 and 5 with twin critics. Truncation is not termination.
 * @param temperature alpha, []
 * @returns y, [B]; compute outside the gradient scope
 */
export function criticTarget(
  networks: SacNetworks,
  { actor, targetCritic }: { readonly actor: Parameters; readonly targetCritic: Parameters },
  { reward, nextObservation, terminated, context }: Transitions,
  noise: tf.Tensor2D,
  temperature: tf.Scalar,
  { gamma, rewardScale }: SacConfig,
): tf.Tensor1D {
  const inputs = { nextObservation, reward, terminated, temperature };
  checkShapes(
    'SAC critic target',
    { nextObservation: ['B', 'O'], reward: ['B'], terminated: ['B'], temperature: [] },
    inputs,
  );
  const { action, logProb } = sampleActions(networks, actor, { observation: nextObservation, context }, noise);
  const nextQ = tf.min(ensembleQ(networks.critic, targetCritic, nextObservation, action, context), 1); // [B]
  const softValue = tf.sub(nextQ, tf.mul(temperature, logProb));
  return tf.add(tf.mul(reward, rewardScale), tf.mul(tf.mul(tf.sub(1, terminated), gamma), softValue));
}

/**
 * mean (Q_i(s, a) - y)^2 of each twin, [Q], without the factor 1/2.
 *
 * Source: Haarnoja et al. 2018b, equation 5.
 * @param target y, [B]
 */
export function criticLosses(
  { critic }: SacNetworks,
  parameters: Parameters,
  { observation, action, context }: Transitions,
  target: tf.Tensor1D,
): tf.Tensor1D {
  checkShapes('SAC critic losses', { observation: ['B', 'O'], target: ['B'] }, { observation, target });
  const q = ensembleQ(critic, parameters, observation, action, context); // [B, Q]
  return tf.mean(tf.squaredDifference(q, tf.expandDims(target, 1)), 0);
}

/**
 * mean (alpha log pi(a | s) - min(Q1, Q2)(s, a)), a drawn at s.
 *
 * Source: Haarnoja et al. 2018b, equation 9 with twin critics.
 * @param temperature alpha, []
 */
export function actorLoss(
  networks: SacNetworks,
  { actor, critic }: { readonly actor: Parameters; readonly critic: Parameters },
  { observation, context }: States,
  noise: tf.Tensor2D,
  temperature: tf.Scalar,
): tf.Scalar {
  checkShapes('SAC actor loss', { temperature: [] }, { temperature });
  const { action, logProb } = sampleActions(networks, actor, { observation, context }, noise);
  const q = tf.min(ensembleQ(networks.critic, critic, observation, action, context), 1); // [B]
  return tf.mean(tf.sub(tf.mul(temperature, logProb), q));
}

/**
 * - mean (log alpha (log pi + H)): alpha grows while the entropy -log pi is below its target H.
 *
 * Source: Haarnoja et al. 2018b, section 5, with log alpha in place of alpha as in Stable-Baselines3.
 * @param logAlpha []
 * @param logProb log pi of drawn actions, [B], a constant
 */
export function temperatureLoss(logAlpha: tf.Scalar, logProb: tf.Tensor1D, targetEntropy: number): tf.Scalar {
  checkShapes('SAC temperature loss', { logAlpha: [], logProb: ['B'] }, { logAlpha, logProb });
  return tf.neg(tf.mean(tf.mul(logAlpha, tf.add(logProb, targetEntropy))));
}
