/** SAC's networks: one stochastic actor and twin critics, as descriptions without parameters. */

import { requireBounds } from '../../../src/contract/bounds.ts';
import type { PolicySpecs } from '../../../src/contract/tensor-spec.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import { createPolicy, type PolicyConfig } from '../../../src/nn/policies/registry.ts';
import { type ActorCriticNetworks, networkSizes } from '../../off-policy/networks.ts';
import type { SacConfig } from './config.ts';

/** The policy is a Gaussian squashed by tanh, log-std in [-20, 2]; the critics are twins. */
export type SacNetworks = ActorCriticNetworks;

export const actorConfig = ({ actorHiddenSizes }: SacConfig): PolicyConfig => ({
  architecture: 'sac-policy',
  hiddenSizes: actorHiddenSizes,
});

/** @throws HyperpolicyError invalid_argument: an action that lacks a bound, an unknown critic, or options that it does not take */
export function createSacNetworks(config: SacConfig, specs: PolicySpecs): SacNetworks {
  requireBounds('train sac', specs.action);
  const { contextSize: _, ...sizes } = networkSizes(specs);
  return {
    policy: createPolicy(actorConfig(config), sizes),
    critic: createCritic(config.critic, { ...sizes, ensembleSize: 2 }),
    specs,
    scaling: actionScaling(specs.action),
  };
}
