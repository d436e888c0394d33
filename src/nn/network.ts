/** A network of either kind, for what treats both alike: files, imports, tables. */

import type { Critic } from './critics/critic.ts';
import type { ParameterSpecs } from './parameters.ts';
import type { Policy } from './policies/policy.ts';

export type Network =
  | { readonly kind: 'policy'; readonly policy: Policy }
  | { readonly kind: 'critic'; readonly critic: Critic };

export const networkSpecs = (network: Network): ParameterSpecs =>
  network.kind === 'policy' ? network.policy.specs : network.critic.specs;
