/** What every policy is: a network that gives the parameters of an action distribution, and the kind of that distribution. */

import * as tf from '@tensorflow/tfjs-core';
import {
  gaussianLogProb,
  gaussianSample,
  noiseLogProb,
  tanhGaussianLogProb,
  tanhGaussianSample,
} from '../distributions.ts';
import type { GeneratedLayer } from '../hyper/head.ts';
import type { Hypernetwork } from '../hyper/hypernetwork.ts';
import type { LinearMap } from '../linear.ts';
import type { ParameterSpecs, Parameters } from '../parameters.ts';
import { checkInputs } from '../shapes.ts';

export type PolicySizes = {
  readonly observationSize: number;
  readonly actionSize: number;
  /** Values of a context; 0 if absent. */
  readonly contextSize?: number | undefined;
};

/**
 * - `deterministic`: action = tanh(mean).
 * - `gaussian`: action = mean + std * noise.
 * - `tanh-gaussian`: action = tanh(mean + std * noise).
 */
export type ActionDistribution = 'deterministic' | 'gaussian' | 'tanh-gaussian';

/** What the network gives. */
export type PolicyOutput = {
  readonly mean: tf.Tensor; // [B, A], before any tanh
  /** Absent in deterministic policies. */
  readonly logStd?: tf.Tensor | undefined; // [B, A], or [A] where it is one for all states
};

/** B rows, O observation values, A action values, C context values. */
export type Policy = {
  /** Name in the registry, e.g. `hyper-maml`. */
  readonly architecture: string;
  readonly distribution: ActionDistribution;
  readonly sizes: PolicySizes;
  readonly specs: ParameterSpecs;
  /** Observation [B, O] and, with a context, [B, C] or [1, C] for all rows. Use {@link policyOutput}, which checks shapes. */
  output(parameters: Parameters, observation: tf.Tensor2D, context?: tf.Tensor2D): PolicyOutput;
  /** Present in hypernetworks. */
  readonly hypernetwork?: Hypernetwork | undefined;
  /** Present if a primary generates the network from the context. */
  readonly split?: PolicySplit | undefined;
};

export type PolicySplit = {
  /** Context [K, C] to layers with leading K. @param map stands in for the linear layers on the way */
  generate(parameters: Parameters, context: tf.Tensor2D, map?: LinearMap): GeneratedLayer[];
  /** Layers with leading B (or 1 or none, for all rows) and observation [B, O]. */
  evaluate(parameters: Parameters, layers: readonly GeneratedLayer[], observation: tf.Tensor): PolicyOutput;
};

/** @throws HyperpolicyError invalid_argument naming expected and actual shapes */
export function policyOutput(
  policy: Policy,
  parameters: Parameters,
  observation: tf.Tensor2D,
  context?: tf.Tensor2D,
): PolicyOutput {
  const { observationSize, contextSize = 0 } = policy.sizes;
  const columns = { observation: observationSize, context: contextSize };
  checkInputs(`policy ${policy.architecture}`, columns, { observation, context });
  return policy.output(parameters, observation, context);
}

/** The action [B, A] that the noise picks; the deterministic one without noise. */
export function actionOf({ distribution }: Policy, { mean, logStd }: PolicyOutput, noise?: tf.Tensor): tf.Tensor {
  const u = noise === undefined || logStd === undefined ? mean : gaussianSample({ mean, logStd }, noise);
  return distribution === 'gaussian' ? u : tf.tanh(u);
}

/**
 * The action [B, A] that the noise picks with its log-density [B], from one pass.
 * @throws Error for a deterministic policy, which has no density
 */
export function sampleOf(
  { architecture, distribution }: Policy,
  { mean, logStd }: PolicyOutput,
  noise: tf.Tensor,
): { action: tf.Tensor; logProb: tf.Tensor } {
  if (logStd === undefined) throw new Error(`sample: expected a stochastic policy, got ${architecture}`);
  if (distribution === 'tanh-gaussian') return tanhGaussianSample({ mean, logStd }, noise);
  return { action: gaussianSample({ mean, logStd }, noise), logProb: noiseLogProb({ logStd }, noise) };
}

/**
 * Log-density of given actions, [B].
 * @throws Error for a deterministic policy, which has no density
 */
export function logProbOf({ architecture, distribution }: Policy, output: PolicyOutput, action: tf.Tensor): tf.Tensor {
  const { mean, logStd } = output;
  if (logStd === undefined) throw new Error(`log-density: expected a stochastic policy, got ${architecture}`);
  const density = distribution === 'gaussian' ? gaussianLogProb : tanhGaussianLogProb;
  return density({ mean, logStd }, action);
}
