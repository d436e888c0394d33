/**
 * Which episodes `rollout` plays, in their order: with seeds of their own, or of one task to whose first episodes a model adapts. Those of a
 * model that adapts are as `eval` drives them through a server (adapted-episodes.ts), with the same starts and draws.
 */

import type { AdaptingPolicy, Experience } from '../../trainer/rollout/adapting-policy.ts';
import { taskSeeds } from './adapted-episodes.ts';

type Transition = Experience['episodes'][number][number];

/** To play before the next one is asked for. */
export type EpisodeToPlay = {
  /** From 0; those before adaptation count on their own. */
  readonly episode: number;
  /** Of the environment's reset. */
  readonly seed: number;
  readonly context: ArrayLike<number> | undefined;
  /** Whether it is one of those to which the model adapts first. */
  readonly isBefore: boolean;
  /** Whether the model has adapted; undefined if it does not. */
  readonly isAdapted?: boolean;
  readonly keep?: (transition: Transition) => void;
};

export type EpisodesAsked = {
  readonly episodes: number;
  readonly seed: number;
  readonly context?: ArrayLike<number> | undefined;
};

/** Each with the next seed; the environment draws the task unless a context is given. */
export function* plainEpisodes({ episodes, seed, context }: EpisodesAsked): Generator<EpisodeToPlay> {
  for (let episode = 0; episode < episodes; episode++) {
    yield { episode, seed: seed + episode, context, isBefore: false };
  }
}

export type AdaptationAsked = EpisodesAsked & {
  /** Of all episodes, [C]; C is 0 in an environment with one task. */
  readonly context: Float64Array;
  /** Episodes before adaptation. */
  readonly adaptEpisodes: number;
  /** Whether an encoder infers the context (PEARL), also from the episodes after adaptation; else weights move (MAML). */
  readonly infers: boolean;
};

/** The seed is that of the task. */
export function* adaptedEpisodes(
  policy: AdaptingPolicy,
  { episodes: afterCount, adaptEpisodes: beforeCount, seed, context, infers }: AdaptationAsked,
): Generator<EpisodeToPlay> {
  const seeds = taskSeeds(seed);
  let played: Transition[][] = [];
  let isAdapted = false;
  const adapt = (areFurther: boolean) => {
    if (played.some(({ length }) => length > 0)) {
      policy.adapt({ context, episodes: played, areFurther });
      isAdapted = true;
    }
    played = [];
  };
  for (let episode = 0; episode < beforeCount + afterCount; episode++) {
    if (episode === beforeCount) adapt(false);
    else if (infers && episode > beforeCount) adapt(true);
    policy.begin(seeds.latent(episode), (step) => seeds.action(episode, step));
    const transitions: Transition[] = [];
    const isBefore = episode < beforeCount;
    yield {
      episode: isBefore ? episode : episode - beforeCount,
      seed: seeds.start(episode),
      context: context.length === 0 ? undefined : context,
      isBefore,
      isAdapted,
      keep: (transition) => transitions.push(transition),
    };
    if (isBefore || infers) played.push(transitions);
  }
}
