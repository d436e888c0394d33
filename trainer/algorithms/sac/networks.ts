/** SAC's networks: one stochastic actor and twin critics, as descriptions without parameters. */

import { requireBounds } from '../../../src/contract/bounds.ts';
import { type PolicySpecs, specSizes } from '../../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../../src/envs/task-distribution.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import { createPolicy, type PolicyConfig } from '../../../src/nn/policies/registry.ts';
import type { ActorCriticNetworks } from '../../off-policy/networks.ts';
import { policyConfig, policySizes, taskNormalisation } from '../../off-policy/policies.ts';
import type { SacConfig } from './config.ts';

/** The policy is a Gaussian squashed by tanh, log-std in [-20, 2]; the critics are twins. */
export type SacNetworks = ActorCriticNetworks;

export const actorConfig = (config: SacConfig): PolicyConfig =>
  policyConfig(config, { mlp: 'sac-policy', hyper: 'sac-hyper-policy' });

/** @throws HyperpolicyError invalid_argument: an action that lacks a bound, an unknown critic, or options that it does not take */
export function createSacNetworks(
  config: SacConfig,
  specs: PolicySpecs,
  tasks: Pick<TaskDistribution, 'ranges'> | null = null,
): SacNetworks {
  requireBounds('train sac', specs.action);
  return {
    policy: createPolicy(actorConfig(config), policySizes(config, specs)),
    critic: createCritic(config.critic, { ...specSizes(specs), ensembleSize: 2 }),
    specs,
    scaling: actionScaling(specs.action),
    contextNormalisation: taskNormalisation(config, tasks),
  };
}
