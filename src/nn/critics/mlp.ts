/** The plain critic: [s, a] -> 256 -> 256 -> 1. */

import * as tf from '@tensorflow/tfjs-core';
import { mlp, mlpSpecs } from '../mlp.ts';
import type { QFunction } from './critic.ts';

/** Observation and action concatenated, then an MLP. Source: Fujimoto et al. 2018 (TD3). */
export const mlpQ = (
  architecture: string,
  {
    observationSize,
    actionSize,
    hiddenSizes,
  }: { observationSize: number; actionSize: number; hiddenSizes: readonly number[] },
): QFunction => ({
  architecture,
  specs: mlpSpecs([observationSize + actionSize, ...hiddenSizes, 1]),
  q: (parameters, observation, action) =>
    tf.squeeze(mlp(parameters, tf.concat2d([observation, action], 1)), [1]) as tf.Tensor1D,
});
