/** TD3's networks: one deterministic actor and twin critics, as descriptions without parameters. */

import type * as tf from '@tensorflow/tfjs-core';
import { requireBounds } from '../../../src/contract/bounds.ts';
import { type PolicySpecs, specSize } from '../../../src/contract/tensor-spec.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { actionOf, policyOutput } from '../../../src/nn/policies/policy.ts';
import { createPolicy, type PolicyConfig } from '../../../src/nn/policies/registry.ts';
import type { ActorCriticNetworks } from '../../off-policy/networks.ts';
import type { Td3Config } from './config.ts';

export type Td3Networks = ActorCriticNetworks & {
  /** Observation [B, O], and context [B, C] where the policy reads one, to normalised action [B, A]. */
  readonly actor: (parameters: Parameters, observation: tf.Tensor2D, context?: tf.Tensor2D) => tf.Tensor2D;
};

export const actorConfig = ({ actorHiddenSizes }: Td3Config): PolicyConfig => ({
  architecture: 'td3-policy',
  hiddenSizes: actorHiddenSizes,
});

/** @throws HyperpolicyError invalid_argument: an action that lacks a bound, an unknown critic, or options that it does not take */
export function createTd3Networks(config: Td3Config, specs: PolicySpecs): Td3Networks {
  const { observation, action } = specs;
  requireBounds('train td3', action);
  const sizes = { observationSize: specSize(observation), actionSize: specSize(action) };
  const policy = createPolicy(actorConfig(config), sizes);
  return {
    policy,
    actor: (parameters, state, context) =>
      actionOf(policy, policyOutput(policy, parameters, state, context)) as tf.Tensor2D,
    critic: createCritic(config.critic, { ...sizes, ensembleSize: 2 }),
    specs,
    scaling: actionScaling(action),
  };
}
