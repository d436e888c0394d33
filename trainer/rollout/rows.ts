/**
 * Steps the rows of a vectorised environment. Between steps the whole state of a row is in shared memory, so any thread can
 * step any row on its one environment. Threads claim rows, so no thread waits while there is work.
 */

import { createRandom } from '../../src/contract/random.ts';
import type { Env, EnvState, StateRow } from '../../src/envs/env.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { stateRowOf } from '../../src/envs/state-row.ts';
import { controlSlot, type SharedBatch } from './shared-batch.ts';

/** One row in progress, as plain data. */
export type RowState = {
  readonly env: EnvState;
  /** Episodes begun so far; decides the seed of the next one. */
  readonly episodeCount: number;
  readonly episodeReturn: number;
  readonly episodeLength: number;
};

/** A row to restore; null if its environment's state is unknown: it begins its next episode. */
export type RestoredRow = Omit<RowState, 'env'> & { readonly env: EnvState | null };

export type RowOptions = {
  /** A name, or the caller's own environment, which it disposes itself. */
  readonly env: string | Env;
  readonly seed: number;
  /** Tasks come from the caller instead of from each episode's seed. */
  readonly givenContexts: boolean;
};

export type Rows = {
  /** Begins a row's next episode, or the one of that number. */
  begin(row: number, episode?: number): void;
  /** One step of a row; begins the next episode when one ends. */
  step(row: number): void;
  save(row: number): RowState;
  restore(row: number, state: RestoredRow): void;
  dispose(): void;
};

/** Streams of the run's seed from here on belong to the rows, one each. */
const firstStream = 1000;

/** The seed of a row's episode. It depends on the run's seed, the row and the episode, not on the threads. */
export function episodeSeed(seed: number, row: number, episode: number): number {
  const random = createRandom(seed, firstStream + row);
  random.position = 2 * episode;
  return random.integer(2 ** 21) * 2 ** 32 + random.integer(2 ** 32);
}

/** Numbers of a row's state: those of the environment's `stateRow`. */
export function stateSizeOf(env: Env): number {
  env.reset(0);
  return stateRowOf(env).size;
}

/** For the only row of the only thread, which stays in its environment. */
const unmoved: StateRow = { size: 0, write() {}, read() {} };

/** This thread's way to step rows. */
export async function openRows(batch: SharedBatch, { env: given, seed, givenContexts }: RowOptions): Promise<Rows> {
  const env = typeof given === 'string' ? await createEnvironment(given) : given;
  const { environmentCount, observationSize, actionSize, contextSize, stateSize } = batch.sizes;
  if (stateSize > 0) env.reset(0);
  const stateRow = stateSize > 0 ? stateRowOf(env) : unmoved;
  const split = <T extends Float32Array | Float64Array>(array: T, size: number) =>
    Array.from({ length: environmentCount }, (_, row) => array.subarray(row * size, (row + 1) * size) as T);
  const states = split(batch.states, stateSize);
  const actions = split(batch.actions, actionSize);
  const observations = split(batch.observations, observationSize);
  const finals = split(batch.finals, observationSize);
  const contexts = split(batch.contexts, contextSize);
  const nextContexts = split(batch.nextContexts, contextSize);
  const { running } = batch;

  /** Begins an episode and leaves its state in the environment. */
  const enter = (row: number) => {
    const options = givenContexts ? { context: nextContexts[row]! } : {};
    observations[row]!.set(env.reset(episodeSeed(seed, row, running.episodes[row]!), options).observation);
    if (env.context !== null) contexts[row]!.set(env.context);
    running.episodes[row]!++;
    running.returns[row] = 0;
    running.lengths[row] = 0;
  };

  return {
    begin(row, episode) {
      if (episode !== undefined) running.episodes[row] = episode;
      enter(row);
      stateRow.write(states[row]!);
    },

    step(row) {
      stateRow.read(states[row]!);
      const result = env.step(actions[row]!);
      const { observation, reward, terminated, truncated } = result;
      running.returns[row]! += reward;
      running.lengths[row]!++;
      batch.rewards[row] = reward;
      batch.terminated[row] = Number(terminated);
      batch.truncated[row] = Number(truncated);
      batch.diverged[row] = Number(result.diverged);
      if (!terminated && !truncated) {
        // A loop, as `set` between element types costs more for a few numbers.
        const out = observations[row]!;
        for (let i = 0; i < observationSize; i++) out[i] = observation[i]!;
      } else {
        finals[row]!.set(observation);
        batch.returns[row] = running.returns[row]!;
        batch.lengths[row] = running.lengths[row]!;
        enter(row);
      }
      stateRow.write(states[row]!);
    },

    save(row) {
      stateRow.read(states[row]!);
      return {
        env: env.save(),
        episodeCount: running.episodes[row]!,
        episodeReturn: running.returns[row]!,
        episodeLength: running.lengths[row]!,
      };
    },

    restore(row, state) {
      running.episodes[row] = state.episodeCount;
      if (state.env === null) {
        enter(row);
        stateRow.write(states[row]!);
        return;
      }
      observations[row]!.set(env.restore(state.env));
      if (env.context !== null) contexts[row]!.set(env.context);
      running.returns[row] = state.episodeReturn;
      running.lengths[row] = state.episodeLength;
      stateRow.write(states[row]!);
    },

    dispose() {
      if (typeof given === 'string') env.dispose();
    },
  };
}

/**
 * Claims rows and works on them until none is left. It begins with this thread's own share.
 * @param order number of the step; a row is claimed for it once
 * @param work on a row: a step, or its next episode
 * @param fail is called for a row whose work threw. The row counts as done, so that no thread waits for it
 */
export function workRows(
  { control, claims, sizes }: SharedBatch,
  {
    first,
    order,
    work,
    fail,
  }: {
    readonly first: number;
    readonly order: number;
    readonly work: (row: number) => void;
    readonly fail: (error: unknown) => void;
  },
): void {
  const { environmentCount } = sizes;
  const before = (order - 1) | 0;
  for (let i = 0; i < environmentCount; i++) {
    const row = (first + i) % environmentCount;
    if (Atomics.compareExchange(claims, row, before, order) !== before) continue;
    try {
      work(row);
    } catch (error) {
      fail(error);
    }
    if (Atomics.add(control, controlSlot.done, 1) === environmentCount - 1) Atomics.notify(control, controlSlot.done);
  }
}
