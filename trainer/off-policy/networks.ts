/** The networks of every actor-critic learner: one policy and an ensemble of critics, as descriptions without parameters. */

import type { PolicySpecs } from '../../src/contract/tensor-spec.ts';
import type { ActionScaling } from '../../src/nn/action-scaling.ts';
import type { Critic } from '../../src/nn/critics/critic.ts';
import type { Normalisation } from '../../src/nn/normalisation.ts';
import type { Policy } from '../../src/nn/policies/policy.ts';

/** Both take the same observations and actions. The critics read the task if there is one; the policy may not. */
export type ActorCriticNetworks = {
  readonly policy: Policy;
  readonly critic: Critic;
  /** Specs of the environment. */
  readonly specs: PolicySpecs;
  readonly scaling: ActionScaling;
  /** Normalisation of contexts, from environment units; none if absent. */
  readonly contextNormalisation?: Normalisation | undefined;
};
