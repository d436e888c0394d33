/** SAC's networks: one stochastic actor and twin critics, as descriptions without parameters. */

import { type PolicySpecs, specSize } from '../../../src/contract/tensor-spec.ts';
import { type ActionScaling, actionScaling } from '../../../src/nn/action-scaling.ts';
import type { Critic } from '../../../src/nn/critics/critic.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import type { Policy } from '../../../src/nn/policies/policy.ts';
import { createPolicy } from '../../../src/nn/policies/registry.ts';
import type { SacConfig } from './config.ts';

export type SacNetworks = {
  /** A Gaussian squashed by tanh, log-std in [-20, 2]. */
  readonly policy: Policy;
  /** Twins. */
  readonly critic: Critic;
  readonly scaling: ActionScaling;
};

/** @throws HyperpolicyError invalid_argument: an unknown critic, or options that it does not take */
export function createSacNetworks(config: SacConfig, { observation, action }: PolicySpecs): SacNetworks {
  const sizes = { observationSize: specSize(observation), actionSize: specSize(action) };
  return {
    policy: createPolicy({ architecture: 'sac-policy', hiddenSizes: config.actorHiddenSizes }, sizes),
    critic: createCritic(config.critic, { ...sizes, ensembleSize: 2 }),
    scaling: actionScaling(action),
  };
}
