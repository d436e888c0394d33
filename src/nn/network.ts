/** A network of either kind with what it takes to make it again: for files, imports and tables. */

import type { Critic, CriticSizes } from './critics/critic.ts';
import { type CriticConfig, createCritic } from './critics/registry.ts';
import type { ParameterSpecs } from './parameters.ts';
import type { Policy, PolicySizes } from './policies/policy.ts';
import { createPolicy, type PolicyConfig } from './policies/registry.ts';

/** All that says what a network is, as JSON. */
export type NetworkDescription =
  | { readonly kind: 'policy'; readonly config: PolicyConfig; readonly sizes: PolicySizes }
  | {
      readonly kind: 'critic';
      readonly config: CriticConfig;
      readonly sizes: CriticSizes & { readonly ensembleSize: number };
    };

export type Network =
  | { readonly kind: 'policy'; readonly policy: Policy; readonly description: NetworkDescription }
  | { readonly kind: 'critic'; readonly critic: Critic; readonly description: NetworkDescription };

/** @throws HyperpolicyError invalid_argument: an unknown architecture, or options or sizes that it does not take */
export const createNetwork = (description: NetworkDescription): Network =>
  description.kind === 'policy'
    ? { kind: 'policy', policy: createPolicy(description.config, description.sizes), description }
    : { kind: 'critic', critic: createCritic(description.config, description.sizes), description };

export const networkSpecs = (network: Network): ParameterSpecs =>
  network.kind === 'policy' ? network.policy.specs : network.critic.specs;
