/**
 * Transitions of several tasks: for each task a buffer that updates sample from, and a smaller one that a context encoder samples
 * from, which may hold only what was collected last. Both are bounded.
 */

import type { Random } from '../../src/contract/random.ts';
import type { Batch } from './batch.ts';
import { createReplayBuffer, type ReplayState, type Transition } from './replay-buffer.ts';

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
  /** Numbers of the encoder's transitions at which its episodes began. */
  readonly starts: readonly number[];
  readonly addedCount: number;
};

export type TaskBuffers = {
  /** Transitions for updates. */
  readonly count: number;
  /** @throws HyperpolicyError invalid_argument: a wrong size or a value that is not finite in float32; nothing is added then */
  add(transition: Transition): void;
  /** Transitions of one episode, in order, also for the encoder. @throws HyperpolicyError as add; what came before stays */
  addEpisode(transitions: Iterable<Transition>): void;
  /** Forgets the encoder's transitions. */
  clearContext(): void;
  /** Rows drawn uniformly with replacement. @throws HyperpolicyError invalid_argument: there are none */
  sample(random: Random, into: Batch): void;
  /** The same of the encoder's transitions. */
  sampleContext(random: Random, into: Batch): void;
  /** The encoder's transitions from the begin of an episode on, drawn uniformly; behind the newest comes the oldest. */
  sampleSequence(random: Random, into: Batch): void;
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
      createReplayBuffer({ ...sizes, capacity: contextCapacity }),
      contextCapacity,
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
        [`context${task}`, context.arrays.rows],
      ]);
      const states = saved.map(({ all, context, ...rest }) => ({ all: all.state, context: context.state, ...rest }));
      return { arrays: Object.fromEntries(arrays), state: { tasks: states } };
    },
    restore({ arrays, state }) {
      tasks.forEach(({ restore }, task) => {
        const { all, context, ...rest } = state.tasks[task]!;
        restore({
          all: { state: all, arrays: { rows: arrays[`all${task}`]! } },
          context: { state: context, arrays: { rows: arrays[`context${task}`]! } },
          ...rest,
        });
      });
    },
  };
}

type Buffer = ReturnType<typeof createReplayBuffer>;

function createTask(
  all: Buffer,
  context: Buffer,
  contextCapacity: number,
  learnt: (transition: Transition) => Transition = (transition) => transition,
) {
  let starts: number[] = [];
  let addedCount = 0;
  const buffers: TaskBuffers = {
    get count() {
      return all.count;
    },
    add: (transition) => all.add(learnt(transition)),
    addEpisode(transitions) {
      starts.push(addedCount);
      for (const transition of transitions) {
        all.add(learnt(transition));
        context.add(transition);
        addedCount++;
      }
      // An episode that begins at the end, or before the oldest transition, is empty.
      starts = starts.filter((start) => start < addedCount && start >= addedCount - contextCapacity);
    },
    clearContext() {
      context.clear();
      starts = [];
      addedCount = 0;
    },
    sample: (random, into) => all.sample(random, into),
    sampleContext: (random, into) => context.sample(random, into),
    sampleSequence(random, into) {
      const oldest = addedCount - context.count;
      // One episode that is longer than the buffer has lost its begin.
      const start = starts.length === 0 ? oldest : starts[random.integer(starts.length)]!;
      context.read(start - oldest, into);
    },
  };
  return {
    buffers,
    byteCountMax: all.byteCountMax + context.byteCountMax,
    save: () => ({ all: all.save(), context: context.save(), starts, addedCount }),
    restore(saved: {
      readonly all: ReplayState;
      readonly context: ReplayState;
      readonly starts: readonly number[];
      readonly addedCount: number;
    }) {
      all.restore(saved.all);
      context.restore(saved.context);
      starts = [...saved.starts];
      ({ addedCount } = saved);
    },
  };
}
