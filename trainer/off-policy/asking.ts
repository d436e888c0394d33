/** The outputs of a policy at states. */

import type { Parameters } from '../../src/nn/parameters.ts';
import { type PolicyOutput, policyOutput } from '../../src/nn/policies/policy.ts';
import type { ActorCriticNetworks } from './networks.ts';
import type { States } from './transitions.ts';

/** Outputs of the policy's network at states, whether or not it reads their context. */
export const outputAt = (
  { policy }: Pick<ActorCriticNetworks, 'policy'>,
  parameters: Parameters,
  { observation, context }: States,
): PolicyOutput =>
  policyOutput(policy, parameters, observation, (policy.sizes.contextSize ?? 0) > 0 ? context : undefined);
