/** The networks of an actor-critic learner for publishing: for the model package, and as safetensors files. */

import type { CriticConfig } from '../../src/nn/critics/registry.ts';
import { createNetwork } from '../../src/nn/network.ts';
import { writeNetwork } from '../../src/nn/network-file.ts';
import { shapesOf } from '../../src/nn/parameters.ts';
import type { PolicyConfig } from '../../src/nn/policies/registry.ts';
import type { Units } from '../../src/nn/units.ts';
import type { TrainedModel } from '../export/model.ts';
import type { Publishable } from '../run/algorithm.ts';
import type { ActorCritic } from './actor-critic.ts';
import type { ActorCriticNetworks } from './networks.ts';

/** What the registries take, and training reward = `rewardScale` x environment reward. */
export type ExportOptions = {
  readonly policy: PolicyConfig;
  readonly critic: CriticConfig;
  readonly rewardScale: number;
};

export const publishable = (
  networks: ActorCriticNetworks,
  trainables: ActorCritic['trainables'],
  options: ExportOptions,
): Publishable => ({
  model: () => actorCriticModel(networks, trainables, options.rewardScale),
  networkFiles: () => actorCriticFiles(networks, trainables, options),
});

/** The networks with their parameters, as views: a later update changes them. */
function actorCriticModel(
  networks: ActorCriticNetworks,
  { actor, critic: critics }: ActorCritic['trainables'],
  rewardScale: number,
): TrainedModel {
  const { policy, critic } = networks;
  const units = unitsOf(networks);
  return {
    rewardScale,
    policy: {
      ...units,
      policy,
      parameters: { views: actor.parameters, shapes: shapesOf(policy.specs) },
      unreadContextSize: (policy.sizes.contextSize ?? 0) > 0 ? 0 : critic.sizes.contextSize,
    },
    critic: { ...units, critic, parameters: { views: critics.parameters, shapes: shapesOf(critic.specs) } },
  };
}

/** File name -> bytes: the actor, and the critics in one file. Names and layouts: src/nn/README.md. */
function actorCriticFiles(
  networks: ActorCriticNetworks,
  { actor, critic: critics }: ActorCritic['trainables'],
  options: ExportOptions,
): Map<string, Uint8Array> {
  const { policy, critic, specs } = networks;
  const use = { specs, units: unitsOf(networks), rewardScale: options.rewardScale };
  const actorNetwork = createNetwork({ kind: 'policy', config: options.policy, sizes: policy.sizes });
  const sizes = { ...critic.sizes, ensembleSize: critic.ensembleSize };
  const criticNetwork = createNetwork({ kind: 'critic', config: options.critic, sizes });
  return new Map([
    ['actor.safetensors', writeNetwork(actorNetwork, actor.parameters, use)],
    ['critic.safetensors', writeNetwork(criticNetwork, critics.parameters, use)],
  ]);
}

const unitsOf = ({ scaling, contextNormalisation }: ActorCriticNetworks): Units => ({
  scaling,
  context: contextNormalisation,
});
