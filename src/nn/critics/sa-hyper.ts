/** The state-action hypernetwork critic: meta variable = observation, base variable = action. */

import * as tf from '@tensorflow/tfjs-core';
import { dynamic } from '../hyper/dynamic.ts';
import { generate, type HypernetworkConfig, hypernetworkSpecs } from '../hyper/hypernetwork.ts';
import type { QFunction } from './critic.ts';

/**
 * Q(s, a) = f_{w(s)}(a): the observation generates a small network of the action, so the gradient with respect to the
 * action passes through the dynamic network alone.
 *
 * Source: Sarafian et al. 2021, section 3 ("SA-Hyper").
 */
export function saHyperQ({
  observationSize,
  actionSize,
  trunkSizes,
  dynamicHiddenSizes,
}: {
  observationSize: number;
  actionSize: number;
  trunkSizes: readonly number[];
  dynamicHiddenSizes: readonly number[];
}): QFunction {
  const config: HypernetworkConfig = {
    metaSize: observationSize,
    baseSize: actionSize,
    outputSize: 1,
    trunkSizes,
    hiddenSizes: dynamicHiddenSizes,
  };
  const split: NonNullable<QFunction['split']> = {
    generate: (parameters, observation) => generate(parameters, config, observation),
    evaluate: (layers, action) => tf.squeeze(dynamic(layers, action), [-1]),
  };
  return {
    architecture: 'sa-hyper',
    specs: hypernetworkSpecs(config),
    q: (parameters, observation, action) =>
      split.evaluate(split.generate(parameters, observation), action) as tf.Tensor1D,
    split,
  };
}
