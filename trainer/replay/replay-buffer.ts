/**
 * Transitions seen so far, for off-policy learning: the newest `capacity` of them, sampled uniformly with replacement.
 *
 * Memory: one flat Float32Array of rows, a row per transition, so that a sample touches one place:
 *   row = [ observation O | action A | nextObservation O | reward | terminated | context C ]
 * Row `next` is written next; in a full buffer it is the oldest. With 17 observation and 6 action values a row has 168
 * bytes, and a million rows have 168 MB; the system provides the memory as rows are written.
 */

import { requireCount } from '../../src/contract/counts.ts';
import { invalidArgument, resourceExhausted } from '../../src/contract/errors.ts';
import type { Random } from '../../src/contract/random.ts';
import type { Batch } from './batch.ts';

export type ReplaySizes = {
  /** Transitions kept. */
  readonly capacity: number;
  readonly observationSize: number;
  readonly actionSize: number;
  /** Values of the task; 0 if absent. */
  readonly contextSize?: number;
};

/** Values of one environment step, in environment units. */
export type Transition = {
  observation: ArrayLike<number>; // [O]
  action: ArrayLike<number>; // [A]
  reward: number;
  /** The observation after the action. At the end of an episode it is that episode's last one, never the next one's first. */
  nextObservation: ArrayLike<number>; // [O]
  /** The task ended, e.g. by a fall. False at a time limit: the value of the next state still counts. */
  terminated: boolean;
  /** The task of the episode; only if the buffer has a context size. */
  context?: ArrayLike<number> | null; // [C]
};

export type ReplayState = {
  readonly state: ReplaySizes & { readonly count: number; readonly next: number };
  /** A view of the filled rows, valid until the next `add`. */
  readonly arrays: { readonly rows: Float32Array };
};

export type ReplayBuffer = {
  /** Transitions held, at most the capacity. */
  readonly count: number;
  /** Largest |reward| that was added or restored. */
  readonly largestReward: number;
  /** Bytes of all rows when the buffer is full. */
  readonly byteCountMax: number;
  /**
   * Adds a transition. In a full buffer it takes the place of the oldest one.
   * @throws HyperpolicyError invalid_argument: a wrong size or a value that is not finite in float32; nothing is then added
   */
  add(transition: Transition): void;
  /**
   * Fills `into` with `into.size` rows drawn uniformly with replacement; one draw of `random` each. Allocates nothing.
   * @throws HyperpolicyError invalid_argument: the buffer is empty or the batch has other sizes
   */
  sample(random: Random, into: Batch): void;
  /**
   * Fills `into` with rows that follow each other: those from the `first` oldest on, and the oldest again behind the newest.
   * @throws HyperpolicyError invalid_argument: as sample
   */
  read(first: number, into: Batch): void;
  /** Forgets all transitions. */
  clear(): void;
  /** The contents for a checkpoint, without a copy. */
  save(): ReplayState;
  /**
   * Replaces the contents. Later samples equal those of the buffer that was saved.
   * @throws HyperpolicyError invalid_argument: saved with other sizes, or damaged
   */
  restore(saved: ReplayState): void;
};

/**
 * Creates an empty buffer.
 * @throws HyperpolicyError invalid_argument: a size that is not a positive integer; resource_exhausted: no memory
 */
export function createReplayBuffer(sizes: ReplaySizes): ReplayBuffer {
  checkSizes(sizes);
  const { capacity } = sizes;
  const layout = layoutOf(sizes);
  const rows = reserve(capacity, layout.rowSize);
  let count = 0;
  let next = 0;
  let largestReward = 0;
  const noteReward = (row: number) => {
    largestReward = Math.max(largestReward, Math.abs(rows[row * layout.rowSize + layout.rewardAt]!));
  };

  return {
    get count() {
      return count;
    },
    get largestReward() {
      return largestReward;
    },
    byteCountMax: rows.byteLength,
    add(transition) {
      checkTransition(transition, layout);
      writeRow(rows, next * layout.rowSize, layout, transition);
      noteReward(next);
      next = next + 1 === capacity ? 0 : next + 1;
      if (count < capacity) count += 1;
    },
    sample(random, into) {
      checkBatch(into, layout, count);
      for (let b = 0; b < into.size; b++) readRow(rows, random.integer(count) * layout.rowSize, layout, into, b);
    },
    read(first, into) {
      checkBatch(into, layout, count);
      const oldest = count < capacity ? 0 : next;
      for (let b = 0; b < into.size; b++) {
        const row = (oldest + ((first + b) % count)) % capacity;
        readRow(rows, row * layout.rowSize, layout, into, b);
      }
    },
    clear() {
      count = 0;
      next = 0;
      largestReward = 0;
    },
    save() {
      return {
        state: { ...sizes, count, next },
        arrays: { rows: rows.subarray(0, count * layout.rowSize) },
      };
    },
    restore(saved) {
      checkSaved(saved, sizes, layout);
      rows.set(saved.arrays.rows);
      count = saved.state.count;
      next = saved.state.next;
      largestReward = 0;
      for (let row = 0; row < count; row++) noteReward(row);
    },
  };
}

/** Sizes of a row's fields, and where each begins. */
type Layout = Required<Omit<ReplaySizes, 'capacity'>> & {
  readonly actionAt: number;
  readonly nextObservationAt: number;
  readonly rewardAt: number;
  readonly terminatedAt: number;
  readonly contextAt: number;
  readonly rowSize: number;
};

function layoutOf({ observationSize, actionSize, contextSize = 0 }: ReplaySizes): Layout {
  const actionAt = observationSize;
  const nextObservationAt = actionAt + actionSize;
  const rewardAt = nextObservationAt + observationSize;
  const terminatedAt = rewardAt + 1;
  const contextAt = terminatedAt + 1;
  const rowSize = contextAt + contextSize;
  const places = { actionAt, nextObservationAt, rewardAt, terminatedAt, contextAt, rowSize };
  return { observationSize, actionSize, contextSize, ...places };
}

function writeRow(rows: Float32Array, row: number, layout: Layout, transition: Transition): void {
  rows.set(transition.observation, row);
  rows.set(transition.action, row + layout.actionAt);
  rows.set(transition.nextObservation, row + layout.nextObservationAt);
  rows[row + layout.rewardAt] = transition.reward;
  rows[row + layout.terminatedAt] = transition.terminated ? 1 : 0;
  if (layout.contextSize > 0) rows.set(transition.context!, row + layout.contextAt);
}

/** @param b row of the batch */
function readRow(rows: Float32Array, row: number, layout: Layout, into: Batch, b: number): void {
  const { observationSize, actionSize, contextSize } = layout;
  copy(rows, row, into.observation, b * observationSize, observationSize);
  copy(rows, row + layout.actionAt, into.action, b * actionSize, actionSize);
  copy(rows, row + layout.nextObservationAt, into.nextObservation, b * observationSize, observationSize);
  into.reward[b] = rows[row + layout.rewardAt]!;
  into.terminated[b] = rows[row + layout.terminatedAt]!;
  if (contextSize > 0) copy(rows, row + layout.contextAt, into.context, b * contextSize, contextSize);
}

function checkSizes({ capacity, observationSize, actionSize, contextSize = 0 }: ReplaySizes): void {
  for (const [name, size] of Object.entries({ capacity, observationSize, actionSize })) {
    requireCount(`replay buffer ${name}`, size);
  }
  if (Number.isSafeInteger(contextSize) && contextSize >= 0) return;
  const [where, expected] = ['replay buffer contextSize', 'an integer of at least 0'];
  throw invalidArgument({ where, expected, actual: `${contextSize}` });
}

/** @param count transitions in the buffer */
function checkBatch({ size, observation, action, context }: Batch, layout: Layout, count: number): void {
  const { observationSize, actionSize, contextSize } = layout;
  const refuse = (expected: string, actual: string, remedy?: string) =>
    invalidArgument({ where: 'ReplayBuffer.sample', expected, actual, remedy });
  if (count === 0) {
    const remedy = 'Of a step in which the simulator diverged nothing is kept';
    throw refuse('at least one transition in the buffer', 'none', remedy);
  }
  if (observation.length !== size * observationSize || action.length !== size * actionSize) {
    throw refuse(
      `a batch of ${observationSize} observation and ${actionSize} action values a row`,
      `${observation.length / size} and ${action.length / size}`,
    );
  }
  if (context.length === size * contextSize) return;
  throw refuse(`a batch of ${contextSize} context values a row`, `${context.length / size}`);
}

function checkSaved({ state, arrays }: ReplayState, sizes: ReplaySizes, { contextSize, rowSize }: Layout): void {
  const { capacity } = sizes;
  for (const name of ['capacity', 'observationSize', 'actionSize'] as const) {
    if (state[name] !== sizes[name]) throw differs(name, sizes[name], state[name]);
  }
  // Checkpoints before tasks were kept have no context size.
  if ((state.contextSize ?? 0) !== contextSize) throw differs('contextSize', contextSize, state.contextSize ?? 0);
  const oldest = state.count < capacity ? state.count : state.next;
  if (!Number.isSafeInteger(oldest) || oldest < 0 || oldest !== state.next || state.count > capacity) {
    throw differs('count and next', `positions within ${capacity}`, `${state.count} and ${state.next}`);
  }
  if (arrays.rows.length !== state.count * rowSize) {
    throw differs('rows', `${state.count * rowSize} values`, arrays.rows.length);
  }
}

function checkTransition(transition: Transition, { observationSize, actionSize, contextSize }: Layout): void {
  const { observation, action, nextObservation, reward, context } = transition;
  checkValues('observation', observation, observationSize);
  checkValues('action', action, actionSize);
  checkValues('nextObservation', nextObservation, observationSize);
  if (contextSize > 0) checkValues('context', context ?? [], contextSize);
  if (!Number.isFinite(Math.fround(reward))) throw notFinite('reward', reward);
}

/** A loop, as it is faster than `set` with a new subarray for a few values. */
function copy(from: Float32Array, fromAt: number, to: Float32Array, toAt: number, size: number): void {
  for (let i = 0; i < size; i++) to[toAt + i] = from[fromAt + i]!;
}

function reserve(capacity: number, rowSize: number): Float32Array {
  try {
    return new Float32Array(capacity * rowSize);
  } catch (cause) {
    const size = `${Math.ceil((capacity * rowSize * 4) / 2 ** 20)} MiB`;
    throw resourceExhausted({
      where: 'replay buffer',
      expected: `${size} of memory`,
      actual: (cause as Error).message,
      remedy: 'Lower the capacity',
      cause,
    });
  }
}

function checkValues(name: string, values: ArrayLike<number>, size: number): void {
  if (values.length !== size) {
    throw invalidArgument({
      where: `ReplayBuffer.add: ${name}`,
      expected: `${size} values`,
      actual: `${values.length}`,
    });
  }
  for (let i = 0; i < size; i++) {
    if (!Number.isFinite(Math.fround(values[i]!))) throw notFinite(`${name}[${i}]`, values[i]!);
  }
}

const notFinite = (name: string, value: number) =>
  invalidArgument({
    where: `ReplayBuffer.add: ${name}`,
    expected: 'a finite float32',
    actual: `${value}`,
    remedy: 'The simulation or the policy diverged',
  });

const differs = (name: string, expected: string | number, actual: string | number) =>
  invalidArgument({ where: `saved replay buffer: ${name}`, expected: `${expected}`, actual: `${actual}` });
