/** The deterministic policy of TD3: an MLP with tanh at the end. */

import * as tf from '@tensorflow/tfjs-core';
import { mlp, mlpSpecs } from '../mlp.ts';
import type { ParameterSpecs, Parameters } from '../parameters.ts';

/** [O, ...hidden, A], initialised as PyTorch does by default. */
export const deterministicPolicySpecs = ({
  observationSize,
  actionSize,
  hiddenSizes,
}: {
  observationSize: number;
  actionSize: number;
  hiddenSizes: readonly number[];
}): ParameterSpecs => mlpSpecs([observationSize, ...hiddenSizes, actionSize]);

/** Observation [B, O] to normalised action [B, A] in (-1, 1). */
export const deterministicPolicy = (parameters: Parameters, observation: tf.Tensor2D): tf.Tensor2D =>
  tf.tanh(mlp(parameters, observation));
