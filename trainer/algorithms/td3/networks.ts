/** TD3's networks: one deterministic actor and twin critics, as descriptions without parameters. */

import type * as tf from '@tensorflow/tfjs-core';
import { requireBounds } from '../../../src/contract/bounds.ts';
import { type PolicySpecs, specSizes } from '../../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../../src/envs/task-distribution.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { actionOf } from '../../../src/nn/policies/policy.ts';
import { createPolicy, type PolicyConfig } from '../../../src/nn/policies/registry.ts';
import { outputAt } from '../../off-policy/asking.ts';
import type { ActorCriticNetworks } from '../../off-policy/networks.ts';
import { policyConfig, policySizes, taskNormalisation } from '../../off-policy/policies.ts';
import type { Td3Config } from './config.ts';

export type Td3Networks = ActorCriticNetworks & {
  /** Observation [B, O], and context [B, C] if the policy reads one, to normalised action [B, A]. */
  readonly actor: (parameters: Parameters, observation: tf.Tensor2D, context?: tf.Tensor2D) => tf.Tensor2D;
};

export const actorConfig = (config: Td3Config): PolicyConfig =>
  policyConfig(config, { mlp: 'td3-policy', hyper: 'td3-hyper-policy' });

/** @throws HyperpolicyError invalid_argument: an action that lacks a bound, an unknown critic, or options that it does not take */
export function createTd3Networks(
  config: Td3Config,
  specs: PolicySpecs,
  tasks: Pick<TaskDistribution, 'ranges'> | null = null,
): Td3Networks {
  const { action } = specs;
  requireBounds('train td3', action);
  const policy = createPolicy(actorConfig(config), policySizes(config, specs));
  return {
    policy,
    actor: (parameters, state, context) =>
      actionOf(policy, outputAt({ policy }, parameters, { observation: state, context })) as tf.Tensor2D,
    critic: createCritic(config.critic, { ...specSizes(specs), ensembleSize: 2 }),
    specs,
    scaling: actionScaling(action),
    contextNormalisation: taskNormalisation(config, tasks),
  };
}
