/**
 * Runs a policy in a vectorised environment and keeps the transitions: one batched policy run per step. Memory: T steps of N
 * environments, [T, N, ...], row-major, in ordinary arrays.
 */

import { requireCount } from '../../src/contract/counts.ts';
import type { Sliced } from '../../src/contract/sliced.ts';
import { type SpecSizes, specSizes } from '../../src/contract/tensor-spec.ts';
import { requireMemory } from '../machine/memory.ts';
import type { Transition } from '../replay/replay-buffer.ts';
import type { BatchPolicy } from './policy.ts';
import type { BatchView, VectorEnv } from './vector-env.ts';

type FinishedEpisode = {
  /** The environment's place in the batch. */
  readonly row: number;
  /** The step, of the T, that ended it. */
  readonly step: number;
  /** Undiscounted sum of rewards. */
  readonly return: number;
  readonly length: number;
  readonly diverged: boolean;
};

export type Rollout = {
  readonly stepCount: number;
  readonly environmentCount: number;
  /** Before the step, [T, N, O]. */
  readonly observations: Float32Array;
  /** [T, N, A] */
  readonly actions: Float32Array;
  /** [T, N] */
  readonly rewards: Float64Array;
  /** After the step, [T, N, O]: at the end of an episode its last observation, not the next episode's first. */
  readonly nextObservations: Float32Array;
  /** The task of the step, [T, N, C]. */
  readonly contexts: Float64Array;
  /** [T, N]: no value beyond. */
  readonly terminated: Uint8Array;
  /** [T, N]: cut, with a value beyond. */
  readonly truncated: Uint8Array;
  /** [T, N]: the simulator became unstable; leave the transition out. */
  readonly diverged: Uint8Array;
  /** In order of their ends. */
  readonly episodes: readonly FinishedEpisode[];
};

export type RolloutOptions = {
  readonly env: VectorEnv;
  readonly policy: BatchPolicy;
  readonly stepCount: number;
};

/**
 * Continues the episodes in progress; `reset` the environments first for new ones. Slices end while a step is in progress, so that
 * whoever runs them may do something else beside it.
 * @throws HyperpolicyError invalid_argument: a step count that is not a positive integer, more steps than fit in memory, an action that
 *   is not finite
 */
export function* rolloutSlices({ env, policy, stepCount }: RolloutOptions): Sliced<Rollout> {
  requireCount('rolloutSlices: stepCount', stepCount);
  const { batch } = env;
  const { rollout, episodes } = allocate(env, stepCount);
  const actionCount = rollout.actions.length / stepCount;
  for (let step = 0; step < stepCount; step++) {
    const actions = rollout.actions.subarray(step * actionCount, (step + 1) * actionCount);
    rollout.observations.set(batch.observations, step * batch.observations.length);
    rollout.contexts.set(batch.contexts, step * batch.contexts.length);
    policy.act(batch.observations, batch.contexts, actions);
    env.begin(actions);
    yield;
    yield* finished(env);
    keepResults(rollout, batch, step);
    for (let row = 0; row < env.environmentCount; row++) {
      if (batch.terminated[row] === 1 || batch.truncated[row] === 1) episodes.push(endedEpisode(batch, row, step));
    }
  }
  return rollout;
}

/** Bytes of one step of one row in a rollout. */
export const rolloutStepBytes = ({ observationSize, actionSize, contextSize }: SpecSizes): number =>
  8 * observationSize + 4 * actionSize + 8 * contextSize + 11;

/** @throws HyperpolicyError invalid_argument: more steps than fit in memory */
function allocate({ name, specs, environmentCount: n }: VectorEnv, stepCount: number) {
  const sizes = specSizes(specs);
  requireMemory(`${name}: rollout`, { rowCount: n, stepCount }, rolloutStepBytes(sizes));
  const stepRowCount = stepCount * n;
  const episodes: FinishedEpisode[] = [];
  const rollout: Rollout = {
    stepCount,
    environmentCount: n,
    observations: new Float32Array(stepRowCount * sizes.observationSize),
    actions: new Float32Array(stepRowCount * sizes.actionSize),
    rewards: new Float64Array(stepRowCount),
    nextObservations: new Float32Array(stepRowCount * sizes.observationSize),
    contexts: new Float64Array(stepRowCount * sizes.contextSize),
    terminated: new Uint8Array(stepRowCount),
    truncated: new Uint8Array(stepRowCount),
    diverged: new Uint8Array(stepRowCount),
    episodes,
  };
  return { rollout, episodes };
}

function keepResults(rollout: Rollout, batch: BatchView, step: number): void {
  const { environmentCount: n, nextObservations } = rollout;
  for (const key of ['rewards', 'terminated', 'truncated', 'diverged'] as const) rollout[key].set(batch[key], step * n);
  const at = step * batch.observations.length;
  nextObservations.set(batch.observations, at);
  const size = batch.observations.length / n;
  for (let row = 0; row < n; row++) {
    if (batch.terminated[row] === 0 && batch.truncated[row] === 0) continue;
    nextObservations.set(batch.finals.subarray(row * size, (row + 1) * size), at + row * size);
  }
}

const endedEpisode = ({ returns, lengths, diverged }: BatchView, row: number, step: number): FinishedEpisode => ({
  row,
  step,
  return: returns[row]!,
  length: lengths[row]!,
  diverged: diverged[row] === 1,
});

/** The slices of a wait for user code. */
const waitMs = 50;

/** Ends what `env` has begun, with a slice after each 50 ms of waiting for user code. */
export function* finished(env: Pick<VectorEnv, 'isReady' | 'finish'>): Sliced<void> {
  while (!env.isReady(waitMs)) yield;
  env.finish();
}

/** Steps of one episode in a row: from `first` up to, but not including, `end`. */
export type EpisodeSteps = {
  readonly first: number;
  readonly end: number;
  readonly isComplete: boolean;
  readonly diverged: boolean;
};

/** The episodes of each row, in order; the last may be incomplete. A step in which the simulator diverged is left out. */
export function episodesOf({ environmentCount, stepCount, episodes }: Rollout): EpisodeSteps[][] {
  const rows = Array.from({ length: environmentCount }, (): EpisodeSteps[] => []);
  const next = new Int32Array(environmentCount);
  for (const { row, step, diverged } of episodes) {
    rows[row]!.push({ first: next[row]!, end: step + (diverged ? 0 : 1), isComplete: true, diverged });
    next[row] = step + 1;
  }
  rows.forEach((row, i) => {
    if (next[i]! < stepCount) row.push({ first: next[i]!, end: stepCount, isComplete: false, diverged: false });
  });
  return rows;
}

/** The transitions of a row's steps, in order. Each is a view that holds until the next one. */
export function* transitionsOf(rollout: Rollout, row: number, { first, end }: EpisodeSteps): Generator<Transition> {
  const { environmentCount: n, stepCount, observations, actions, nextObservations, rewards, terminated } = rollout;
  const observationSize = observations.length / (n * stepCount);
  const actionSize = actions.length / (n * stepCount);
  for (let step = first; step < end; step++) {
    const at = step * n + row;
    const part = (array: Float32Array, size: number) => array.subarray(at * size, (at + 1) * size);
    yield {
      observation: part(observations, observationSize),
      action: part(actions, actionSize),
      reward: rewards[at]!,
      nextObservation: part(nextObservations, observationSize),
      terminated: terminated[at] === 1,
    };
  }
}
