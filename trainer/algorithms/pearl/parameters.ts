/** The parameters of PEARL's networks with their optimisers, and the arrays that computations read and write. */

import { createRandom } from '../../../src/contract/random.ts';
import { initialise, type ParameterSpecs, shapesOf } from '../../../src/nn/parameters.ts';
import { createTrainable, type Trainable } from '../../../src/optim/trainable.ts';
import {
  arraysOf,
  createCriticTrainable,
  criticArrays,
  initialisationStream,
  type NetworkArrays,
} from '../../off-policy/actor-critic.ts';
import type { PearlConfig } from './config.ts';
import type { AgentNetworks } from './networks.ts';

export type PearlParameters = {
  readonly trainables: Readonly<Record<'policy' | 'q' | 'value', Trainable>>;
  readonly policy: NetworkArrays;
  /** Both Qs; as stacks if they can be evaluated at once. */
  readonly q: NetworkArrays;
  /** V, whose target copy follows it. */
  readonly value: NetworkArrays;
  /** Undefined if z is not inferred. */
  readonly encoder: { readonly trainable: Trainable; readonly arrays: NetworkArrays } | undefined;
};

/** Freshly drawn; the target of V is equal to V. @param seed of the first values */
export function createPearlParameters(
  { policy, q, value, encoder }: AgentNetworks,
  config: PearlConfig,
  seed: number,
): PearlParameters {
  const plain = (specs: ParameterSpecs, learningRate: number) =>
    createTrainable({ shapes: shapesOf(specs), learningRate, target: false });
  const trainables = {
    policy: plain(policy.specs, config.policyLearningRate),
    q: createCriticTrainable(q, { learningRate: config.qLearningRate, target: false }),
    value: createTrainable({ shapes: shapesOf(value.specs), learningRate: config.valueLearningRate, target: true }),
  };
  const random = createRandom(seed, initialisationStream);
  initialise(policy.specs, trainables.policy.parameters, random);
  initialise(q.specs, trainables.q.parameters, random);
  initialise(value.specs, trainables.value.parameters, random);
  trainables.value.copyToTarget();
  const ofEncoder = encoder && plain(encoder.specs, config.encoderLearningRate);
  if (encoder && ofEncoder) initialise(encoder.specs, ofEncoder.parameters, random);
  return {
    trainables,
    policy: arraysOf(trainables.policy, shapesOf(policy.specs)),
    q: criticArrays(q, trainables.q),
    value: arraysOf(trainables.value, shapesOf(value.specs)),
    encoder: encoder && ofEncoder && { trainable: ofEncoder, arrays: arraysOf(ofEncoder, shapesOf(encoder.specs)) },
  };
}
