/** The parameters of an actor and its critics with their optimisers, and the arrays that computations read and write. */

import * as tf from '@tensorflow/tfjs-core';
import { createRandom } from '../../src/contract/random.ts';
import type { Critic } from '../../src/nn/critics/critic.ts';
import { initialise, type Parameters, shapesOf } from '../../src/nn/parameters.ts';
import { createTrainable, type Trainable, type TrainableViews } from '../../src/optim/trainable.ts';
import type { ActorCriticNetworks } from './networks.ts';

/** Stream of the initial parameters' draws; the loop has its own for noise and sampling. */
export const initialisationStream = 0x696e6974;

/** A network's arrays with their shapes, by name, to which computations are bound. */
export type NetworkArrays = TrainableViews & { readonly shapes: Readonly<Record<string, readonly number[]>> };

/** The part of them that computations read. */
export type ReadArrays = Pick<NetworkArrays, 'parameters' | 'shapes'>;

export type ActorCritic = {
  readonly trainables: { readonly actor: Trainable; readonly critic: Trainable };
  readonly actor: NetworkArrays;
  /** All critics; as stacks if they can be evaluated at once, which halves the operations. */
  readonly critics: NetworkArrays;
  /** The first critic alone, with what it shares with the others. No stacks, no gradients. */
  readonly firstCritic: ReadArrays;
};

/**
 * Freshly drawn parameters; the targets are equal to them.
 * @param actorTarget whether the actor has a target copy; the critics always have one
 * @param seed of the parameters' first values
 */
export function createActorCritic(
  { policy, critic }: Pick<ActorCriticNetworks, 'policy' | 'critic'>,
  options: {
    readonly actorLearningRate: number;
    readonly criticLearningRate: number;
    readonly actorTarget: boolean;
    readonly seed: number;
  },
): ActorCritic {
  const trainables = {
    actor: createTrainable({
      shapes: shapesOf(policy.specs),
      learningRate: options.actorLearningRate,
      target: options.actorTarget,
    }),
    critic: createCriticTrainable(critic, { learningRate: options.criticLearningRate, target: true }),
  };
  const random = createRandom(options.seed, initialisationStream);
  initialise(policy.specs, trainables.actor.parameters, random);
  initialise(critic.specs, trainables.critic.parameters, random);
  for (const trainable of Object.values(trainables)) trainable.copyToTarget();
  return {
    trainables,
    actor: arraysOf(trainables.actor, shapesOf(policy.specs)),
    critics: criticArrays(critic, trainables.critic),
    firstCritic: { parameters: firstMember(trainables.critic.parameters), shapes: shapesOf(critic.specs) },
  };
}

/** All members of a critic, with those of their stacks beside each other. */
export const createCriticTrainable = (
  { specs, stacks = [] }: Critic,
  options: { readonly learningRate: number; readonly target: boolean },
): Trainable =>
  createTrainable({
    ...options,
    shapes: shapesOf(specs),
    stacks: Object.fromEntries(stacks.map(({ name, members }) => [name, members])),
  });

/** As stacks if the members can be evaluated at once. */
export function criticArrays({ specs, stacks }: Critic, trainable: Trainable): NetworkArrays {
  if (stacks === undefined) return arraysOf(trainable, shapesOf(specs));
  return { ...trainable.stacked, shapes: Object.fromEntries(stacks.map(({ name, shape }) => [name, shape])) };
}

/** The arrays of all parameters by their own names. */
export function arraysOf(
  { parameters, gradients, moment1, moment2, target }: TrainableViews,
  shapes: NetworkArrays['shapes'],
): NetworkArrays {
  return { parameters, gradients, moment1, moment2, target, shapes };
}

/** The first critic's tensors under its own names, from those of all critics: {@link ActorCritic.firstCritic} inside a computation. */
export function firstCriticOf({ specs, stacks }: Critic, critics: Parameters): Parameters {
  if (stacks === undefined) return firstMember(critics);
  return Object.fromEntries(
    stacks.map(({ name, members: [first] }) => [
      first!,
      tf.reshape(tf.slice(critics[name]!, 0, 1), [...specs[first!]!.shape]),
    ]),
  );
}

/** Parameters of members are named `q<i>.`; what has another name is shared. */
const firstMember = <T>(parameters: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(parameters).filter(([name]) => !/^q[1-9]\d*\./.test(name)));
