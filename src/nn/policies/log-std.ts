/** Where a policy's standard deviation comes from, and its limits. */

import * as tf from '@tensorflow/tfjs-core';
import { zeros } from '../initialisers.ts';
import type { ParameterSpecs, Parameters } from '../parameters.ts';

/** Limits of a network's log-std. Source: Haarnoja et al. 2018, released code. */
const networkBounds = [-20, 2] as const;

export const boundLogStd = (logStd: tf.Tensor): tf.Tensor => tf.clipByValue(logStd, ...networkBounds);

/** Lower limit of a learned log-std, ln 1e-6. Source: pytorch-maml-rl. */
const globalLow = Math.log(1e-6);

/** `logStd` [A], one for all states, 0 at the start. */
export const globalLogStdSpecs = (actionSize: number): ParameterSpecs => ({
  logStd: { shape: [actionSize], initialise: zeros },
});

/** [A] */
export const globalLogStd = (parameters: Parameters): tf.Tensor => tf.maximum(parameters.logStd!, globalLow);
