/**
 * Steps the rows of a vectorised environment. Between steps the whole state of a row is in shared memory, so any thread can
 * step any row on its one environment. Threads claim rows, so no thread waits while there is work.
 */

import { createRandom } from '../../src/contract/random.ts';
import type { Env, EnvState, StateRow } from '../../src/envs/env.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { stateRowOf } from '../../src/envs/state-row.ts';
import { rowsOf, type SharedBatch } from './shared-batch.ts';

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
export async function openRows(batch: SharedBatch, { env: given, ...options }: RowOptions): Promise<Rows> {
  const isOwn = typeof given === 'string';
  const env = isOwn ? await createEnvironment(given) : given;
  return new EnvRows(batch, env, { ...options, isOwn });
}

class EnvRows implements Rows {
  readonly #batch: SharedBatch;
  readonly #env: Env;
  readonly #options: Omit<RowOptions, 'env'> & { readonly isOwn: boolean };
  readonly #stateRow: StateRow;
  readonly #views: ReturnType<typeof rowViews>;

  constructor(
    batch: SharedBatch,
    env: Env,
    /** `isOwn`: dispose the environment at the end. */
    options: Omit<RowOptions, 'env'> & { readonly isOwn: boolean },
  ) {
    const { stateSize } = batch.sizes;
    if (stateSize > 0) env.reset(0);
    this.#batch = batch;
    this.#env = env;
    this.#options = options;
    this.#stateRow = stateSize > 0 ? stateRowOf(env) : unmoved;
    this.#views = rowViews(batch);
  }

  begin(row: number, episode?: number): void {
    if (episode !== undefined) this.#batch.running.episodes[row] = episode;
    this.#enter(row);
    this.#stateRow.write(this.#views.states[row]!);
  }

  step(row: number): void {
    const batch = this.#batch;
    const { running } = batch;
    const { states, actions, observations, finals } = this.#views;
    this.#stateRow.read(states[row]!);
    const { observation, reward, terminated, truncated, diverged } = this.#env.step(actions[row]!);
    running.returns[row]! += reward;
    running.lengths[row]!++;
    batch.rewards[row] = reward;
    batch.terminated[row] = Number(terminated);
    batch.truncated[row] = Number(truncated);
    batch.diverged[row] = Number(diverged);
    if (!terminated && !truncated) {
      // A loop, as `set` between element types costs more for a few numbers.
      const out = observations[row]!;
      for (let i = 0; i < batch.sizes.observationSize; i++) out[i] = observation[i]!;
    } else {
      finals[row]!.set(observation);
      batch.returns[row] = running.returns[row]!;
      batch.lengths[row] = running.lengths[row]!;
      this.#enter(row);
    }
    this.#stateRow.write(states[row]!);
  }

  save(row: number): RowState {
    const { running } = this.#batch;
    this.#stateRow.read(this.#views.states[row]!);
    return {
      env: this.#env.save(),
      episodeCount: running.episodes[row]!,
      episodeReturn: running.returns[row]!,
      episodeLength: running.lengths[row]!,
    };
  }

  restore(row: number, { env: state, episodeCount, episodeReturn, episodeLength }: RestoredRow): void {
    const { running } = this.#batch;
    running.episodes[row] = episodeCount;
    if (state === null) {
      this.#enter(row);
    } else {
      this.#show(row, this.#env.restore(state));
      running.returns[row] = episodeReturn;
      running.lengths[row] = episodeLength;
    }
    this.#stateRow.write(this.#views.states[row]!);
  }

  dispose(): void {
    if (this.#options.isOwn) this.#env.dispose();
  }

  /** Begins an episode and leaves its state in the environment. */
  #enter(row: number): void {
    const { seed, givenContexts } = this.#options;
    const { running } = this.#batch;
    const task = givenContexts ? { context: this.#views.nextContexts[row]! } : {};
    this.#show(row, this.#env.reset(episodeSeed(seed, row, running.episodes[row]!), task).observation);
    running.episodes[row]!++;
    running.returns[row] = 0;
    running.lengths[row] = 0;
  }

  #show(row: number, observation: ArrayLike<number>): void {
    const { observations, contexts } = this.#views;
    observations[row]!.set(observation);
    if (this.#env.context !== null) contexts[row]!.set(this.#env.context);
  }
}

function rowViews(batch: SharedBatch) {
  const rows = <T extends Float32Array | Float64Array>(values: T) => rowsOf(values, batch.sizes.environmentCount);
  return {
    states: rows(batch.states),
    actions: rows(batch.actions),
    observations: rows(batch.observations),
    finals: rows(batch.finals),
    contexts: rows(batch.contexts),
    nextContexts: rows(batch.nextContexts),
  };
}
