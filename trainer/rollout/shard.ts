/** The environments of one thread: a range of a vectorised environment's rows. Runs alike on a worker and on the caller. */

import type { Env, EnvState } from '../../src/envs/env.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { createRandom } from '../../src/spec/random.ts';
import type { SharedBatch } from './shared-batch.ts';

/** One environment in progress, as plain data. */
export type RowState = {
  readonly env: EnvState;
  /** Episodes begun so far; decides the seed of the next one. */
  readonly episodeCount: number;
  readonly episodeReturn: number;
  readonly episodeLength: number;
};

export type ShardOptions = {
  readonly env: string;
  readonly seed: number;
  /** Rows [from, to) of the batch. */
  readonly from: number;
  readonly to: number;
  /** Tasks come from the caller instead of from each episode's seed. */
  readonly givenContexts: boolean;
};

export type Shard = {
  /** Begins an episode in every environment. */
  reset(): void;
  /** One step in every environment; begins the next episode where one ends. */
  step(): void;
  save(): RowState[];
  restore(states: readonly RowState[]): void;
  dispose(): void;
};

/** Streams of the run's seed from here on belong to the environments, one each. */
const firstStream = 1000;

/** The seed of an environment's episode: a function of the run's seed, the row and the episode, so threads do not matter. */
export function episodeSeed(seed: number, row: number, episode: number): number {
  const random = createRandom(seed, firstStream + row);
  random.position = 2 * episode;
  return random.integer(2 ** 21) * 2 ** 32 + random.integer(2 ** 32);
}

/** Creates the environments of a range of rows. */
export async function createShard(batch: SharedBatch, options: ShardOptions): Promise<Shard> {
  const { from, to } = options;
  const rows: Row[] = [];
  for (let row = from; row < to; row++) rows.push(createRow(batch, options, row, await createEnvironment(options.env)));
  return {
    reset() {
      for (const row of rows) row.begin();
    },
    step() {
      for (let i = 0; i < rows.length; i++) rows[i]!.step();
    },
    save: () => rows.map((row) => row.save()),
    restore(states) {
      rows.forEach((row, i) => {
        row.restore(states[i]!);
      });
    },
    dispose() {
      for (const row of rows) row.dispose();
    },
  };
}

type Row = {
  begin(): void;
  step(): void;
  save(): RowState;
  restore(state: RowState): void;
  dispose(): void;
};

function createRow(batch: SharedBatch, { seed, givenContexts }: ShardOptions, row: number, env: Env): Row {
  const { observationSize, actionSize, contextSize } = batch.sizes;
  const rowOf = <T extends Float32Array | Float64Array>(array: T, size: number) =>
    array.subarray(row * size, (row + 1) * size) as T;
  const action = rowOf(batch.actions, actionSize);
  const observation = rowOf(batch.observations, observationSize);
  const final = rowOf(batch.finals, observationSize);
  const context = rowOf(batch.contexts, contextSize);
  const nextContext = rowOf(batch.nextContexts, contextSize);
  let episodeCount = 0;
  let episodeReturn = 0;
  let episodeLength = 0;

  const begin = () => {
    const options = givenContexts ? { context: nextContext } : {};
    observation.set(env.reset(episodeSeed(seed, row, episodeCount), options).observation);
    if (env.context !== null) context.set(env.context);
    episodeCount++;
    episodeReturn = 0;
    episodeLength = 0;
  };

  return {
    begin,

    step() {
      const result = env.step(action);
      episodeReturn += result.reward;
      episodeLength++;
      batch.rewards[row] = result.reward;
      batch.terminated[row] = Number(result.terminated);
      batch.truncated[row] = Number(result.truncated);
      batch.diverged[row] = Number(result.diverged);
      if (!result.terminated && !result.truncated) {
        observation.set(result.observation);
        return;
      }
      final.set(result.observation);
      batch.returns[row] = episodeReturn;
      batch.lengths[row] = episodeLength;
      begin();
    },

    save: () => ({ env: env.save(), episodeCount, episodeReturn, episodeLength }),

    restore(state) {
      observation.set(env.restore(state.env));
      if (env.context !== null) context.set(env.context);
      ({ episodeCount, episodeReturn, episodeLength } = state);
    },

    dispose: () => env.dispose(),
  };
}
