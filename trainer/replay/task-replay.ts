/**
 * Transitions of several tasks: for each task a buffer that updates sample from, and a smaller one that a context encoder samples
 * from, which may hold only what was collected last. Both are bounded.
 */

import type { Random } from '../../src/contract/random.ts';
import type { Batch } from './batch.ts';
import { createEpisodeBuffer, type EpisodeBuffer, type EpisodesState } from './episode-buffer.ts';
import { createReplayBuffer, type ReplayBuffer, type ReplayState, type Transition } from './replay-buffer.ts';

export type TaskReplayOptions = {
  readonly taskCount: number;
  /** Transitions of each task. */
  readonly capacity: number;
  /** Transitions of each task for the encoder. */
  readonly contextCapacity: number;
  readonly observationSize: number;
  readonly actionSize: number;
  /** The reward that updates learn from in a task, in place of the transition's own, which the encoder sees. */
  readonly rewardOf?: ((task: number, transition: Transition) => number) | undefined;
};

export type TaskReplay = {
  /** Bytes of all buffers when they are full; the system provides the memory as rows are written. */
  readonly byteCountMax: number;
  readonly tasks: readonly TaskBuffers[];
  /** The contents, without a copy. */
  save(): TaskReplayState;
  /** @throws HyperpolicyError invalid_argument: saved with other sizes, or damaged */
  restore(saved: TaskReplayState): void;
};

export type TaskReplayState = {
  readonly arrays: Readonly<Record<string, Float32Array>>;
  readonly state: { readonly tasks: readonly TaskState[] };
};

type TaskState = {
  readonly all: ReplayState['state'];
  readonly context: ReplayState['state'];
} & Omit<EpisodesState, 'rows'>;

export type TaskBuffers = {
  /** Transitions for updates. */
  readonly count: number;
  /** Those for the encoder. */
  readonly context: Pick<EpisodeBuffer, 'sample' | 'sampleSequence' | 'clear'>;
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
      createEpisodeBuffer({ ...sizes, capacity: contextCapacity }),
      rewardOf && ((transition) => ({ ...transition, reward: rewardOf(task, transition) })),
    ),
  );
  return {
    byteCountMax: tasks.reduce((sum, { byteCountMax }) => sum + byteCountMax, 0),
    tasks: tasks.map(({ buffers }) => buffers),
    save() {
      const saved = tasks.map(({ save }) => save());
      const arrays = saved.flatMap(({ all, context }, task) => [
        [`all${task}`, all.arrays.rows],
        [`context${task}`, context.rows.arrays.rows],
      ]);
      const states = saved.map(({ all, context: { rows, ...rest } }) => ({
        all: all.state,
        context: rows.state,
        ...rest,
      }));
      return { arrays: Object.fromEntries(arrays), state: { tasks: states } };
    },
    restore({ arrays, state }) {
      tasks.forEach(({ restore }, task) => {
        const { all, context, ...rest } = state.tasks[task]!;
        restore({
          all: { state: all, arrays: { rows: arrays[`all${task}`]! } },
          context: { rows: { state: context, arrays: { rows: arrays[`context${task}`]! } }, ...rest },
        });
      });
    },
  };
}

function createTask(
  all: ReplayBuffer,
  context: EpisodeBuffer,
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
    addEpisode: (transitions) => context.addEpisode(addingTo(transitions)),
    sample: (random, into) => all.sample(random, into),
  };
  return {
    buffers,
    byteCountMax: all.byteCountMax + context.byteCountMax,
    save: () => ({ all: all.save(), context: context.save() }),
    restore(saved: { readonly all: ReplayState; readonly context: EpisodesState }) {
      all.restore(saved.all);
      context.restore(saved.context);
    },
  };
}
