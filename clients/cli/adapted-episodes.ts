/**
 * Episodes of one task with a model that adapts, through a server, in the order of the trainer's own evaluations: episodes before
 * adaptation, whose transitions go to `Adapt`, and episodes after it, with the handle of its answer.
 *
 * - `posterior` (PEARL): an episode before adaptation has z of the prior, drawn anew for each; one after it has z drawn from the posterior of
 *   all episodes before it, those after adaptation included. Actions are deterministic.
 * - `weights` (MAML): all episodes before adaptation go to `Adapt` at once. Actions are samples, before adaptation and after it.
 */

import { createRandom } from '../../src/contract/random.ts';
import type { Env } from '../../src/envs/env.ts';
import type { AdaptOptions } from '../typescript/adapt.ts';
import type { PolicyClient } from '../typescript/client.ts';
import type { RequestCommon } from '../typescript/request.ts';
import { type ActTimes, actTimes, type DrivenModel, playEpisode, type Transition } from './episodes.ts';

export type AdaptingModel = DrivenModel & {
  readonly adaptation: 'posterior' | 'weights';
  readonly readsNextObservation: boolean;
  /** Whether the policy reads the task before it adapts. */
  readonly takesContext: boolean;
};

export type TaskOptions = {
  /** Of every episode, [C]; undefined in an environment with one task only. */
  readonly context: ArrayLike<number> | undefined;
  readonly seeds: TaskSeeds;
  /** Episodes before adaptation: at least 1 for `weights`. */
  readonly beforeCount: number;
  /** Episodes after it, at least 1. */
  readonly afterCount: number;
};

/** Episodes count from 0, those before adaptation first. */
export type TaskSeeds = {
  /** Of the environment's reset. */
  start(episode: number): number;
  /** Of z. */
  latent(episode: number): number;
  /** Of the noise of an action. */
  action(episode: number, step: number): number;
};

/** Seeds of the episodes of a task with a seed of its own. */
export function taskSeeds(seed: number): TaskSeeds {
  const at = (stream: number, position: number) => {
    const random = createRandom(seed, stream);
    random.position = position;
    return random.integer(2 ** 32);
  };
  return {
    start: (episode) => at(0, episode),
    latent: (episode) => at(1, episode),
    action: (episode, step) => at(2 + episode, step),
  };
}

export type TaskResult = {
  /** Return of each episode. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** Of all of them. */
  readonly steps: number;
} & ActTimes;

export async function driveTask(
  client: PolicyClient,
  environment: Env,
  model: AdaptingModel,
  options: TaskOptions,
): Promise<TaskResult> {
  const player = createPlayer(client, environment, model, options);
  const returns = await (model.adaptation === 'posterior'
    ? inferContext(player, options)
    : stepWeights(player, options));
  return {
    before: returns.slice(0, options.beforeCount),
    after: returns.slice(options.beforeCount),
    steps: player.timesMs.length,
    ...actTimes(player.timesMs),
  };
}

/** Returns of all episodes. */
async function inferContext(player: Player, { seeds, beforeCount, afterCount }: TaskOptions): Promise<number[]> {
  const returns: number[] = [];
  const episodeCount = beforeCount + afterCount;
  /** Of the posterior of all episodes so far, and of z drawn from it. */
  let posterior: string | undefined;
  for (let episode = 0; episode < episodeCount; episode++) {
    const known = episode < beforeCount ? undefined : posterior;
    const contextHandle = known ?? (await player.adapt({ seed: seeds.latent(episode) }));
    const transitions: Transition[] = [];
    returns.push(await player.play(episode, { contextHandle }, transitions));
    if (episode + 1 === episodeCount) break;
    posterior = await player.adapt({
      ...(posterior !== undefined && { contextHandle: posterior }),
      ...player.experience(transitions),
      seed: seeds.latent(episode + 1),
    });
  }
  return returns;
}

/** Returns of all episodes. */
async function stepWeights(
  player: Player,
  { context, seeds, beforeCount, afterCount }: TaskOptions,
): Promise<number[]> {
  const returns: number[] = [];
  const ofTask = player.model.takesContext && context !== undefined ? { context: Float32Array.from(context) } : {};
  const transitions: Transition[] = [];
  const episodeLengths: number[] = [];
  const sampleOf = (episode: number) => (step: number) => ({ sample: true, seed: seeds.action(episode, step) });
  for (let episode = 0; episode < beforeCount; episode++) {
    const countBefore = transitions.length;
    returns.push(await player.play(episode, ofTask, transitions, sampleOf(episode)));
    if (transitions.length > countBefore) episodeLengths.push(transitions.length - countBefore);
  }
  const contextHandle = await player.adapt({ ...ofTask, ...player.experience(transitions), episodeLengths });
  for (let episode = beforeCount; episode < beforeCount + afterCount; episode++) {
    returns.push(await player.play(episode, { contextHandle }, [], sampleOf(episode)));
  }
  return returns;
}

type Player = ReturnType<typeof createPlayer>;
type Given = Pick<AdaptOptions, 'context' | 'contextHandle'>;
type Experience = Omit<AdaptOptions, keyof RequestCommon>;

/** What both kinds do with client and environment. */
function createPlayer(
  client: PolicyClient,
  environment: Env,
  { adaptation: _, readsNextObservation, takesContext, ...of }: AdaptingModel,
  { context, seeds }: TaskOptions,
) {
  const timesMs: number[] = [];
  return {
    model: { takesContext },
    timesMs,
    /** @returns the return of the episode */
    async play(
      episode: number,
      given: Given,
      transitions: Transition[],
      sampleOf: (step: number) => { readonly sample?: boolean; readonly seed?: number } = () => ({}),
    ): Promise<number> {
      const played = await playEpisode(
        environment,
        { seed: seeds.start(episode), ...(context !== undefined && { context }) },
        (observation, step) => client.act({ ...of, ...given, observation, ...sampleOf(step) }),
        (transition) => transitions.push(transition),
      );
      timesMs.push(...played.timesMs);
      return played.return;
    },
    /** @returns the handle */
    adapt: async (given: Experience): Promise<string> => (await client.adapt({ ...of, ...given })).contextHandle,
    /** Transitions as `Adapt` takes them. */
    experience(transitions: readonly Transition[]): Experience {
      if (transitions.length === 0) return {};
      const rows = (name: 'observation' | 'action' | 'nextObservation') => ({
        shape: [transitions.length, transitions[0]![name].length],
        values: Float32Array.from(transitions.flatMap((transition) => [...transition[name]])),
      });
      return {
        observation: rows('observation'),
        action: rows('action'),
        reward: Float32Array.from(transitions, ({ reward }) => reward),
        ...(readsNextObservation && { nextObservation: rows('nextObservation') }),
      };
    },
  };
}
