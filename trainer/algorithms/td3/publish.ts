/** Publishes what a TD3 learner has learnt as a model package. */

import { shapesOf } from '../../../src/nn/parameters.ts';
import type { PublishedPackage } from '../../../src/package/package.ts';
import type { ModelToPublish } from '../../export/model.ts';
import { publishModel } from '../../export/package.ts';
import type { Td3Learner } from './learner.ts';

export type Td3Package = Omit<ModelToPublish, 'algorithm' | 'rewardScale' | 'policy' | 'critic'> & {
  readonly learner: Td3Learner;
};

/** Errors: those of publishPackage. */
export function publishTd3({ learner, ...options }: Td3Package): Promise<PublishedPackage> {
  const { networks, actor, critic } = learner;
  const { scaling } = networks;
  return publishModel({
    ...options,
    algorithm: 'td3',
    rewardScale: 1,
    policy: {
      policy: networks.policy,
      parameters: { views: actor.parameters, shapes: shapesOf(networks.actorSpecs) },
      scaling,
    },
    critic: {
      critic: networks.critic,
      parameters: { views: critic.parameters, shapes: shapesOf(networks.critic.specs) },
      scaling,
    },
  });
}
