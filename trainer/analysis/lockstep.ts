/**
 * Many episodes on one environment, a step of each in turn, so that a policy acts for all of them at once. Between its steps an episode
 * is a row of numbers (src/envs/state-row.ts), from which the environment goes on exactly.
 */

import { specSize } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import { stateRowOf } from '../../src/envs/state-row.ts';
import type { BatchPolicy } from '../rollout/policy.ts';
import { concatenated } from './concatenated.ts';

/** A state that episodes can go on from. */
export type Place = {
  /** As the environment's state row has it. */
  readonly state: Float64Array;
  /** [O], environment units. */
  readonly observation: Float32Array;
  /** The task, [C]; empty where the environment poses one task only. */
  readonly context: Float64Array;
};

/** What a network reads of a place. */
type Seen = Omit<Place, 'state'>;

/** An episode after its last step here: it ended, or the steps were over. */
export type LockstepEnd = Seen & { readonly stepCount: number; readonly terminated: boolean };

export type LockstepOptions = {
  readonly env: Env;
  readonly policy: BatchPolicy;
  /** One an episode; not changed. */
  readonly starts: readonly Place[];
  /** The episode's end, or this many steps. */
  readonly stepCountMax: number;
  /** Actions in place of the policy's, [N, A], environment units, for the first steps. */
  readonly held?: { readonly actions: Float32Array; readonly stepCount: number };
  /** Called before each step of each episode; the place holds until that step. */
  readonly before?: (episode: number, place: Place, step: number) => void;
  /** Called after each of them. @param step from 0 */
  readonly reward?: (episode: number, reward: number, step: number) => void;
  /** Called when an episode is over. */
  readonly over?: (episode: number) => void;
};

/** The place where the environment is. It must have been reset. */
export function placeOf(env: Env, observation: ArrayLike<number>): Place {
  const row = stateRowOf(env);
  const state = new Float64Array(row.size);
  row.write(state);
  return { state, observation: Float32Array.from(observation), context: Float64Array.from(env.context ?? []) };
}

export const copyOf = ({ state, observation, context }: Place): Place => ({
  state: state.slice(),
  observation: observation.slice(),
  context: context.slice(),
});

/** Runs the episodes. @returns their ends, in the order of their starts */
export function runInLockstep(options: LockstepOptions): LockstepEnd[] {
  const { env, policy, starts, stepCountMax, held, before, reward: note, over } = options;
  const row = stateRowOf(env);
  const actionSize = specSize(env.specs.action);
  const episodes = starts.map((start) => ({ ...copyOf(start), stepCount: 0, terminated: false }));
  let running = [...episodes.keys()];
  for (let step = 0; step < stepCountMax && running.length > 0; step++) {
    const actions =
      held !== undefined && step < held.stepCount
        ? rowsOf(held.actions, running, actionSize)
        : actionsAt(
            policy,
            running.map((at) => episodes[at]!),
            actionSize,
          );
    running = running.filter((at, i) => {
      const episode = episodes[at]!;
      before?.(at, episode, step);
      row.read(episode.state);
      const result = env.step(actions.subarray(i * actionSize, (i + 1) * actionSize));
      episode.observation.set(result.observation);
      episode.stepCount++;
      episode.terminated = result.terminated;
      note?.(at, result.reward, step);
      const goesOn = !result.terminated && !result.truncated;
      if (goesOn) row.write(episode.state);
      else over?.(at);
      return goesOn;
    });
  }
  for (const at of running) over?.(at);
  return episodes;
}

/** What the policy does at each place, [N, A], environment units. */
export function actionsAt(policy: BatchPolicy, places: readonly Seen[], actionSize: number): Float32Array {
  const actions = new Float32Array(places.length * actionSize);
  policy.act(observationsOf(places), contextsOf(places), actions);
  return actions;
}

/** [N, O] */
export const observationsOf = (places: readonly Seen[]): Float32Array =>
  concatenated(
    Float32Array,
    places.map(({ observation }) => observation),
  );

/** [N, C] */
export const contextsOf = (places: readonly Seen[]): Float64Array =>
  concatenated(
    Float64Array,
    places.map(({ context }) => context),
  );

/** These rows of [N, A]. */
function rowsOf(values: Float32Array, rows: readonly number[], size: number): Float32Array {
  return concatenated(
    Float32Array,
    rows.map((at) => values.subarray(at * size, (at + 1) * size)),
  );
}
