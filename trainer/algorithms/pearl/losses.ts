/**
 * PEARL's losses as pure functions of tensors. N tasks, B rows of each: row n B + b belongs to task n. Actions, log-densities and
 * entropies are normalised to [-1, 1]. The encoder learns from the Q losses and the divergence alone: all others take z as a
 * constant, and so does the target of Q.
 */

import * as tf from '@tensorflow/tfjs-core';
import { latentKl, type Posterior, sampleLatent } from '../../../src/nn/encoders/encoder.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { sampleOf } from '../../../src/nn/policies/policy.ts';
import { checkShapes } from '../../../src/nn/shapes.ts';
import type { PearlConfig } from './config.ts';
import { type Latent, type PearlNetworks, qAt, type TaskNetworks, taskPolicyOutput, valueAt } from './networks.ts';

/** Rows of N tasks. */
export type Transitions = {
  readonly observation: tf.Tensor2D; // [N B, O]
  readonly action: tf.Tensor2D; // [N B, A]
  readonly reward: tf.Tensor1D; // [N B]
  readonly nextObservation: tf.Tensor2D; // [N B, O]
  readonly terminated: tf.Tensor1D; // [N B], 0 or 1
};

/** Inputs of the encoder: T transitions of each task, rewards unscaled. */
export type Context = {
  readonly observation: tf.Tensor3D; // [N, T, O]
  readonly action: tf.Tensor3D; // [N, T, A]
  readonly reward: tf.Tensor2D; // [N, T]
  /** Only if the encoder takes it. */
  readonly nextObservation?: tf.Tensor3D | undefined; // [N, T, O]
};

/**
 * The posterior over z of each task: the product of the transitions' Gaussians, without the prior as a factor.
 *
 * Source: Rakelly et al. 2019, section 4.1.
 */
export function posteriorOf(
  { encoder }: Pick<PearlNetworks, 'encoder'>,
  parameters: Parameters,
  { observation, action, reward, nextObservation }: Context,
): Posterior {
  const next = nextObservation === undefined ? undefined : (['N', 'T', 'O'] as const);
  checkShapes(
    'PEARL context',
    { observation: ['N', 'T', 'O'], action: ['N', 'T', 'A'], reward: ['N', 'T'], nextObservation: next },
    { observation, action, reward, nextObservation },
  );
  const parts: tf.Tensor3D[] = [observation, action, tf.expandDims(reward, 2)];
  return encoder.posterior(
    parameters,
    tf.concat(nextObservation === undefined ? parts : [...parts, nextObservation], 2),
  );
}

/**
 * z of each task, [N, Z].
 * @param noise N(0, I), [N, Z]
 */
export function drawLatent(posterior: Posterior, noise: tf.Tensor2D): tf.Tensor2D {
  const expected = { mean: ['N', 'Z'], variance: ['N', 'Z'], noise: ['N', 'Z'] };
  checkShapes('PEARL latent', expected, { ...posterior, noise });
  return sampleLatent(posterior, noise);
}

const latentShape = (latent: Latent) => (latent === undefined ? undefined : (['N', 'Z'] as const));

/** KL(posterior || N(0, I)), summed over values and tasks. Source: Rakelly et al. 2019, equation 1; the sum as in its released code. */
export function divergence(posterior: Posterior): tf.Scalar {
  checkShapes('PEARL divergence', { mean: ['N', 'Z'], variance: ['N', 'Z'] }, { ...posterior });
  return tf.sum(latentKl(posterior));
}

/**
 * y = k r + gamma (1 - terminated) V'(s', z), k the reward scale.
 *
 * Source: Rakelly et al. 2019, equation 2. Truncation is not termination.
 * @param latent z, [N, Z], a constant
 * @returns y, [N B]; compute outside the gradient scope
 */
export function qTarget(
  networks: TaskNetworks,
  targetValue: Parameters,
  { reward, nextObservation, terminated }: Transitions,
  latent: Latent,
  { gamma, rewardScale }: PearlConfig,
): tf.Tensor1D {
  const expected = { nextObservation: ['R', 'O'], reward: ['R'], terminated: ['R'], latent: latentShape(latent) };
  checkShapes('PEARL Q target', expected, { nextObservation, reward, terminated, latent });
  const nextValue = valueAt(networks, targetValue, nextObservation, latent);
  return tf.add(tf.mul(reward, rewardScale), tf.mul(tf.mul(tf.sub(1, terminated), gamma), nextValue));
}

/**
 * mean (Q_i(s, a, z) - y)^2 of each twin, [Q]. The gradient reaches the encoder through z.
 *
 * Source: Rakelly et al. 2019, equation 2.
 * @param target y, [N B]
 */
export function qLosses(
  networks: TaskNetworks,
  parameters: Parameters,
  { observation, action }: Transitions,
  latent: Latent,
  target: tf.Tensor1D,
): tf.Tensor1D {
  checkShapes(
    'PEARL Q losses',
    { observation: ['R', 'O'], action: ['R', 'A'], target: ['R'], latent: latentShape(latent) },
    { observation, action, target, latent },
  );
  const values = qAt(networks, parameters, observation, action, latent); // [N B, Q]
  return tf.mean(tf.squaredDifference(values, tf.expandDims(target, 1)), 0);
}

/** Outputs and draws of the policy: mean and log-std [N B, A], actions [N B, A] and their log-densities [N B]. */
export type Draw = {
  readonly mean: tf.Tensor2D;
  readonly logStd: tf.Tensor2D;
  readonly action: tf.Tensor2D;
  readonly logProb: tf.Tensor1D;
};

/**
 * Actions at the observations, each with its task's z.
 * @param latent z, [N, Z], a constant
 * @param noise N(0, I), [N B, A]
 */
export function drawActions(
  { policy }: TaskNetworks,
  parameters: Parameters,
  observation: tf.Tensor2D,
  latent: Latent,
  noise: tf.Tensor2D,
): Draw {
  const expected = { observation: ['R', 'O'], noise: ['R', policy.sizes.actionSize], latent: latentShape(latent) };
  checkShapes('PEARL actions', expected, { observation, noise, latent });
  const output = taskPolicyOutput(policy, parameters, observation, latent);
  const { action, logProb } = sampleOf(policy, output, noise);
  const [mean, logStd] = [output.mean as tf.Tensor2D, output.logStd as tf.Tensor2D];
  return { mean, logStd, action: action as tf.Tensor2D, logProb: logProb as tf.Tensor1D };
}

/** min(Q1, Q2)(s, a, z), [N B]. */
export function smallerQ(
  networks: TaskNetworks,
  parameters: Parameters,
  observation: tf.Tensor2D,
  action: tf.Tensor2D,
  latent: Latent,
): tf.Tensor1D {
  const expected = { observation: ['R', 'O'], action: ['R', 'A'], latent: latentShape(latent) };
  checkShapes('PEARL Q', expected, { observation, action, latent });
  return tf.min(qAt(networks, parameters, observation, action, latent), 1);
}

/**
 * mean (V(s, z) - v)^2, v = min(Q1, Q2)(s, a, z) - log pi(a | s, z).
 *
 * Source: Haarnoja et al. 2018a, equation 5, as in the code of Rakelly et al. 2019; alpha is 1, the reward scale stands for it.
 * @param target v, [N B], a constant
 */
export function valueLoss(
  networks: TaskNetworks,
  parameters: Parameters,
  observation: tf.Tensor2D,
  latent: Latent,
  target: tf.Tensor1D,
): tf.Scalar {
  checkShapes(
    'PEARL value loss',
    { observation: ['R', 'O'], target: ['R'], latent: latentShape(latent) },
    { observation, target, latent },
  );
  const v = valueAt(networks, parameters, observation, latent); // [N B]
  return tf.mean(tf.squaredDifference(v, target));
}

/** The policy's loss is their sum, each weighted already. */
export type PolicyTerms = {
  /** mean (log pi - min(Q1, Q2)). */
  readonly objective: tf.Scalar;
  readonly meanPenalty: tf.Scalar;
  readonly logStdPenalty: tf.Scalar;
};

/**
 * mean (log pi(a | s, z) - min(Q1, Q2)(s, a, z)) + c_m mean(mean^2) + c_s mean(log std^2).
 *
 * Source: Haarnoja et al. 2018a, equation 12; the penalties as in the code of Rakelly et al. 2019.
 * @param draw of the policy's parameters that the gradient is for
 * @param q min(Q1, Q2) at the drawn actions, [N B], differentiable in them
 */
export function policyTerms({ mean, logStd, logProb }: Draw, q: tf.Tensor1D, config: PearlConfig): PolicyTerms {
  const expected = { mean: ['R', 'A'], logStd: ['R', 'A'], logProb: ['R'], q: ['R'] };
  checkShapes('PEARL policy loss', expected, { mean, logStd, logProb, q });
  return {
    objective: tf.mean(tf.sub(logProb, q)),
    meanPenalty: tf.mul(tf.mean(tf.square(mean)), config.meanWeight),
    logStdPenalty: tf.mul(tf.mean(tf.square(logStd)), config.logStdWeight),
  };
}
