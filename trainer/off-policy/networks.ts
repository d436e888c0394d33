/** The networks of every actor-critic learner: one policy and an ensemble of critics, as descriptions without parameters. */

import { type PolicySpecs, specSize } from '../../src/contract/tensor-spec.ts';
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

export type NetworkSizes = {
  readonly observationSize: number;
  readonly actionSize: number;
  /** 0 if there is no context. */
  readonly contextSize: number;
};

export const networkSizes = ({ observation, action, context }: PolicySpecs): NetworkSizes => ({
  observationSize: specSize(observation),
  actionSize: specSize(action),
  contextSize: context === null ? 0 : specSize(context),
});

/** Sizes of the inputs of the learner's networks. */
export const sizesOf = ({ critic: { sizes } }: Pick<ActorCriticNetworks, 'critic'>): NetworkSizes => ({
  observationSize: sizes.observationSize,
  actionSize: sizes.actionSize,
  contextSize: sizes.contextSize ?? 0,
});
