/** Policies that are MLPs: deterministic, Gaussian, and Gaussian squashed by tanh. A context is concatenated to the observation. */

import * as tf from '@tensorflow/tfjs-core';
import { mlp, mlpSpecs } from '../mlp.ts';
import { under, withPrefix } from '../parameters.ts';
import { contextRows } from '../shapes.ts';
import { boundLogStd, globalLogStd, globalLogStdSpecs } from './log-std.ts';
import type { ActionDistribution, Policy, PolicySizes } from './policy.ts';

/**
 * [s, c] -> hidden layers with ReLU -> what the distribution needs: the mean; mean and log-std, the latter in [-20, 2]
 * (`tanh-gaussian`); the mean beside a log-std that is one for all states (`gaussian`).
 *
 * Sources: Fujimoto et al. 2018 (TD3), Haarnoja et al. 2018 (SAC), Finn et al. 2017 (MAML).
 */
export function mlpPolicy(
  architecture: string,
  distribution: ActionDistribution,
  sizes: PolicySizes,
  hiddenSizes: readonly number[],
): Policy {
  const { observationSize, actionSize, contextSize = 0 } = sizes;
  const outputSize = distribution === 'tanh-gaussian' ? 2 * actionSize : actionSize;
  const layers = mlpSpecs([observationSize + contextSize, ...hiddenSizes, outputSize]);
  return {
    architecture,
    distribution,
    sizes,
    specs: distribution === 'gaussian' ? { ...globalLogStdSpecs(actionSize), ...withPrefix('mlp', layers) } : layers,
    output(parameters, observation, context) {
      const input =
        context === undefined ? observation : tf.concat2d([observation, contextRows(context, observation)], 1);
      if (distribution === 'deterministic') return { mean: mlp(parameters, input) };
      if (distribution === 'gaussian') {
        return { mean: mlp(under('mlp', parameters), input), logStd: globalLogStd(parameters) };
      }
      const [mean, logStd] = tf.split(mlp(parameters, input), 2, 1) as [tf.Tensor2D, tf.Tensor2D];
      return { mean, logStd: boundLogStd(logStd) };
    },
  };
}
