/** TD3's networks: one actor and twin critics, as descriptions without parameters. */

import type * as tf from '@tensorflow/tfjs-core';
import { requireBounds } from '../../../src/contract/bounds.ts';
import { type PolicySpecs, specSize } from '../../../src/contract/tensor-spec.ts';
import { type ActionScaling, actionScaling } from '../../../src/nn/action-scaling.ts';
import type { Critic } from '../../../src/nn/critics/critic.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import type { ParameterSpecs, Parameters } from '../../../src/nn/parameters.ts';
import { actionOf, type Policy, policyOutput } from '../../../src/nn/policies/policy.ts';
import { createPolicy } from '../../../src/nn/policies/registry.ts';
import type { Td3Config } from './config.ts';

export type Td3Networks = {
  readonly policy: Policy;
  readonly actorSpecs: ParameterSpecs;
  /** Observation [B, O] to normalised action [B, A]. */
  readonly actor: (parameters: Parameters, observation: tf.Tensor2D) => tf.Tensor2D;
  readonly critic: Critic;
  /** Of the environment. */
  readonly specs: PolicySpecs;
  readonly scaling: ActionScaling;
  readonly observationSize: number;
  readonly actionSize: number;
};

/** @throws HyperpolicyError invalid_argument: an action that lacks a bound, or a critic that cannot be */
export function createTd3Networks(config: Td3Config, specs: PolicySpecs): Td3Networks {
  const { observation, action } = specs;
  requireBounds('train td3', action);
  const sizes = { observationSize: specSize(observation), actionSize: specSize(action) };
  const policy = createPolicy({ architecture: 'td3-policy', hiddenSizes: config.actorHiddenSizes }, sizes);
  return {
    policy,
    actorSpecs: policy.specs,
    actor: (parameters, state) => actionOf(policy, policyOutput(policy, parameters, state)) as tf.Tensor2D,
    critic: createCritic(config.critic, { ...sizes, ensembleSize: 2 }),
    specs,
    scaling: actionScaling(action),
    ...sizes,
  };
}
