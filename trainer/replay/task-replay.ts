/**
 * Transitions of several tasks: for each task a buffer that updates sample from and, if there is a context encoder, a smaller one that
 * this samples from, which may hold only what was collected last. Both are bounded.
 */

import type { Random } from '../../src/contract/random.ts';
import type { Batch } from './batch.ts';
import { createEpisodeBuffer, type EpisodeBuffer, type EpisodesState } from './episode-buffer.ts';
import { createReplayBuffer, type ReplayBuffer, type ReplayState, type Transition } from './replay-buffer.ts';

export type TaskReplayOptions = {
  readonly taskCount: number;
  /** Transitions of each task. */
  readonly capacity: number;
  /** Transitions of each task for the encoder; undefined if there is none. */
  readonly contextCapacity: number | undefined;
  readonly observationSize: number;
  readonly actionSize: number;
  /** The reward that updates learn from in a task, in place of the transition's own, which the encoder sees. */
  readonly rewardOf?: ((task: number, transition: Transition) => number) | undefined;
};

export type TaskReplay = {
  /** Bytes of all buffers when they are full; the system provides the memory as rows are written. */
  readonly byteCountMax: number;
  readonly tasks: readonly TaskBuffers[];
  /** The largest |reward| that updates learn from; 0 while there is none. */
  readonly largestReward: number;
  /** The contents, without a copy. */
  save(): TaskReplayState;
  /**
   * Without an encoder, what was saved for one is left: replays had it for every agent once.
   * @throws HyperpolicyError invalid_argument: saved with other sizes, or damaged
   */
  restore(saved: TaskReplayState): void;
};

export type TaskReplayState = {
  readonly arrays: Readonly<Record<string, Float32Array>>;
  readonly state: { readonly tasks: readonly TaskState[] };
};

type TaskState = { readonly all: ReplayState['state'] } & Partial<EncoderState>;
type EncoderState = { readonly context: ReplayState['state'] } & Omit<EpisodesState, 'rows'>;

type TaskBuffers = {
  /** Transitions for updates. */
  readonly count: number;
  /** Those for the encoder; undefined if there is none. */
  readonly context: Pick<EpisodeBuffer, 'sample' | 'sampleSequence' | 'clear'> | undefined;
  /** @throws HyperpolicyError invalid_argument: a wrong size or a value that is not finite in float32; nothing is added then */
  add(transition: Transition): void;
  /** Transitions of one episode, in order, also for the encoder. @throws HyperpolicyError as add; what came before stays */
  addEpisode(transitions: Iterable<Transition>): void;
  /** Rows for updates, drawn uniformly with replacement. @throws HyperpolicyError invalid_argument: there are none */
  sample(random: Random, into: Batch): void;
};

/** @throws HyperpolicyError invalid_argument: a size that is not a positive integer; resource_exhausted: no memory */
export function createTaskReplay({
  taskCount,
  capacity,
  contextCapacity,
  rewardOf,
  ...sizes
}: TaskReplayOptions): TaskReplay {
  const tasks = Array.from({ length: taskCount }, (_, task) =>
    createTask(
      createReplayBuffer({ ...sizes, capacity }),
      contextCapacity === undefined ? undefined : createEpisodeBuffer({ ...sizes, capacity: contextCapacity }),
      rewardOf && ((transition) => ({ ...transition, reward: rewardOf(task, transition) })),
    ),
  );
  return {
    byteCountMax: tasks.reduce((sum, { byteCountMax }) => sum + byteCountMax, 0),
    tasks: tasks.map(({ buffers }) => buffers),
    get largestReward() {
      return tasks.reduce((largest, { all }) => Math.max(largest, all.largestReward), 0);
    },
    save() {
      const saved = tasks.map(({ save }) => save());
      const arrays = saved.flatMap(({ rows }, task) =>
        Object.entries(rows).map(([name, array]) => [`${name}${task}`, array]),
      );
      return { arrays: Object.fromEntries(arrays), state: { tasks: saved.map(({ state }) => state) } };
    },
    restore({ arrays, state }) {
      tasks.forEach(({ restore }, task) => {
        restore(state.tasks[task]!, (name) => ({ rows: arrays[`${name}${task}`]! }));
      });
    },
  };
}

function createTask(
  all: ReplayBuffer,
  context: EpisodeBuffer | undefined,
  learnt: (transition: Transition) => Transition = (transition) => transition,
) {
  function* addingTo(transitions: Iterable<Transition>) {
    for (const transition of transitions) {
      all.add(learnt(transition));
      yield transition;
    }
  }
  const buffers: TaskBuffers = {
    get count() {
      return all.count;
    },
    context,
    add: (transition) => all.add(learnt(transition)),
    addEpisode(transitions) {
      if (context !== undefined) context.addEpisode(addingTo(transitions));
      else for (const transition of transitions) all.add(learnt(transition));
    },
    sample: (random, into) => all.sample(random, into),
  };
  return {
    buffers,
    all,
    byteCountMax: all.byteCountMax + (context?.byteCountMax ?? 0),
    save() {
      const { arrays, state } = all.save();
      if (context === undefined) return { rows: { all: arrays.rows }, state: { all: state } };
      const { rows, ...episodes } = context.save();
      return {
        rows: { all: arrays.rows, context: rows.arrays.rows },
        state: { all: state, context: rows.state, ...episodes },
      };
    },
    restore({ all: state, ...ofEncoder }: TaskState, arraysOf: (name: 'all' | 'context') => ReplayState['arrays']) {
      all.restore({ state, arrays: arraysOf('all') });
      if (context === undefined) return;
      const { context: rows, ...episodes } = ofEncoder as EncoderState;
      context.restore({ rows: { state: rows, arrays: arraysOf('context') }, ...episodes });
    },
  };
}
