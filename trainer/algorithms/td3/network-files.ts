/** A TD3 learner's networks as safetensors files, for tools beside ours; `hyperpolicy import` takes them too. */

import { createNetwork } from '../../../src/nn/network.ts';
import { writeNetwork } from '../../../src/nn/network-file.ts';
import type { Td3Config } from './config.ts';
import type { Td3Learner } from './learner.ts';

/** File name -> bytes: the actor, and the twin critics in one file. Names and layouts: src/nn/README.md. */
export function td3NetworkFiles({ networks, actor, critic }: Td3Learner, config: Td3Config): Map<string, Uint8Array> {
  const { observationSize, actionSize, specs, scaling } = networks;
  const sizes = { observationSize, actionSize };
  const use = { specs, units: { scaling }, rewardScale: 1 };
  const policyNetwork = createNetwork({
    kind: 'policy',
    config: { architecture: 'td3-policy', hiddenSizes: config.actorHiddenSizes },
    sizes,
  });
  const criticNetwork = createNetwork({
    kind: 'critic',
    config: config.critic,
    sizes: { ...sizes, ensembleSize: networks.critic.ensembleSize },
  });
  return new Map([
    ['actor.safetensors', writeNetwork(policyNetwork, actor.parameters, use)],
    ['critic.safetensors', writeNetwork(criticNetwork, critic.parameters, use)],
  ]);
}
