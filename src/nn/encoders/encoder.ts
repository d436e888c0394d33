/** What every context encoder is: transitions to a Gaussian over the latent context. */

import * as tf from '@tensorflow/tfjs-core';
import type { Aggregation } from '../../posterior/latent-knowledge.ts';
import type { ParameterSpecs, Parameters } from '../parameters.ts';

/** A diagonal Gaussian over z. */
export type Posterior = {
  readonly mean: tf.Tensor2D; // [N, Z]
  readonly variance: tf.Tensor2D; // [N, Z]
};

export type Encoder = {
  /** Name in the registry, e.g. `pearl-encoder`. */
  readonly architecture: string;
  readonly sizes: EncoderSizes;
  readonly specs: ParameterSpecs;
  /** Transitions of N tasks, [N, T, D], to their posteriors. */
  posterior(parameters: Parameters, transitions: tf.Tensor3D): Posterior;
  /** For transitions that come one after the other. */
  readonly steps: EncoderSteps;
};

/** What an encoder gives for each transition, to be kept and joined: see latent-knowledge.ts. */
type EncoderSteps = {
  readonly aggregation: Aggregation;
  /** Values of the memory; 0 if it is not recurrent. */
  readonly memorySize: number;
  /**
   * By the names in `encoderOutputs`, [N, size] each.
   * @param transitions [N, D]; recurrent: one of each of N tasks, not N of one
   * @param memory behind the transitions before, [N, memorySize], zeros at first; only if it is recurrent
   */
  outputs(parameters: Parameters, transitions: tf.Tensor2D, memory?: tf.Tensor2D): Record<string, tf.Tensor2D>;
};

export type EncoderSizes = {
  /** D, the values of one transition: observation, action, reward, and the next observation where it is read. */
  readonly transitionSize: number;
  readonly latentSize: number;
};

/** Below this a variance would dominate a product of Gaussians. Source: Rakelly et al. 2019, released code. */
const varianceMin = 1e-7;

/** [..., 2 Z] to mean and variance = max(softplus, 1e-7), [..., Z] each. */
export function gaussianHead(output: tf.Tensor): { mean: tf.Tensor; variance: tf.Tensor } {
  const [mean, spread] = tf.split(output, 2, -1) as [tf.Tensor, tf.Tensor];
  return { mean, variance: tf.maximum(tf.softplus(spread), varianceMin) };
}

/** z = mean + sqrt(variance) * noise, [N, Z]. */
export const sampleLatent = ({ mean, variance }: Posterior, noise: tf.Tensor2D): tf.Tensor2D =>
  tf.add(mean, tf.mul(tf.sqrt(variance), noise));

/** KL(posterior || N(0, I)) = sum of (variance + mean^2 - 1 - log variance) / 2, [N]. */
export const latentKl = ({ mean, variance }: Posterior): tf.Tensor1D =>
  tf.mul(tf.sum(tf.sub(tf.sub(tf.add(variance, tf.square(mean)), 1), tf.log(variance)), 1), 0.5);
