/** Transitions of one task in episodes, the newest `capacity` of them: for an encoder, which may read them in order. */

import type { Random } from '../../src/contract/random.ts';
import type { Batch } from './batch.ts';
import { createReplayBuffer, type ReplaySizes, type ReplayState, type Transition } from './replay-buffer.ts';

export type EpisodeBuffer = {
  /** Bytes when it is full. */
  readonly byteCountMax: number;
  /** Transitions of one episode, in order. @throws HyperpolicyError as ReplayBuffer.add; what came before stays */
  addEpisode(transitions: Iterable<Transition>): void;
  /** Rows drawn uniformly with replacement. @throws HyperpolicyError invalid_argument: there are none */
  sample(random: Random, into: Batch): void;
  /** Transitions from the begin of an episode on, drawn uniformly; behind the newest comes the oldest. */
  sampleSequence(random: Random, into: Batch): void;
  /** Forgets all of them. */
  clear(): void;
  save(): EpisodesState;
  restore(saved: EpisodesState): void;
};

export type EpisodesState = {
  readonly rows: ReplayState;
  /** Numbers of the transitions at which episodes began. */
  readonly starts: readonly number[];
  readonly addedCount: number;
};

/** @throws HyperpolicyError as createReplayBuffer */
export function createEpisodeBuffer(sizes: ReplaySizes): EpisodeBuffer {
  const buffer = createReplayBuffer(sizes);
  let starts: number[] = [];
  let addedCount = 0;
  return {
    byteCountMax: buffer.byteCountMax,
    addEpisode(transitions) {
      starts.push(addedCount);
      for (const transition of transitions) {
        buffer.add(transition);
        addedCount++;
      }
      // An episode that begins at the end, or before the oldest transition, is empty.
      starts = starts.filter((start) => start < addedCount && start >= addedCount - sizes.capacity);
    },
    sample: (random, into) => buffer.sample(random, into),
    sampleSequence(random, into) {
      const oldest = addedCount - buffer.count;
      // One episode that is longer than the buffer has lost its begin.
      const start = starts.length === 0 ? oldest : starts[random.integer(starts.length)]!;
      buffer.read(start - oldest, into);
    },
    clear() {
      buffer.clear();
      starts = [];
      addedCount = 0;
    },
    save: () => ({ rows: buffer.save(), starts, addedCount }),
    restore(saved) {
      buffer.restore(saved.rows);
      starts = [...saved.starts];
      ({ addedCount } = saved);
    },
  };
}
