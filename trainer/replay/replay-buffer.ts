/**
 * Transitions seen so far, for off-policy learning: the newest `capacity` of them, sampled uniformly with replacement.
 *
 * Memory: one flat Float32Array of rows, a row per transition, so that a sample touches one place:
 *   row = [ observation O | action A | nextObservation O | reward | terminated | context C ]
 * Row `next` is written next; in a full buffer it is the oldest. With 17 observation and 6 action values a row has 168
 * bytes, and a million rows have 168 MB; the system provides the memory as rows are written.
 */

import { invalidArgument, resourceExhausted } from '../../src/contract/errors.ts';
import type { Random } from '../../src/contract/random.ts';
import type { Batch } from './batch.ts';

export type ReplaySizes = {
  /** Transitions kept. */
  readonly capacity: number;
  readonly observationSize: number;
  readonly actionSize: number;
  /** Values of the task; 0 where absent. */
  readonly contextSize?: number;
};

/** Values of one environment step, in environment units. */
export type Transition = {
  observation: ArrayLike<number>; // [O]
  action: ArrayLike<number>; // [A]
  reward: number;
  /** What the action led to, also where the episode ended there: never the next episode's first observation. */
  nextObservation: ArrayLike<number>; // [O]
  /** The task ended (a fall). False where a time limit cut the episode: its value still bootstraps. */
  terminated: boolean;
  /** The task of the episode; only where the buffer has a context size. */
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
  /**
   * Adds a transition, in place of the oldest where the buffer is full.
   * @throws HyperpolicyError invalid_argument: a wrong size or a value that is not finite in float32; nothing is then added
   */
  add(transition: Transition): void;
  /**
   * Fills `into` with `into.size` rows drawn uniformly with replacement; one draw of `random` each. Allocates nothing.
   * @throws HyperpolicyError invalid_argument: the buffer is empty or the batch has other sizes
   */
  sample(random: Random, into: Batch): void;
  /** The contents for a checkpoint, without a copy. */
  save(): ReplayState;
  /**
   * Takes the place of the contents; later samples are those that the saved buffer would have given.
   * @throws HyperpolicyError invalid_argument: saved with other sizes, or damaged
   */
  restore(saved: ReplayState): void;
};

/**
 * Creates an empty buffer.
 * @throws HyperpolicyError invalid_argument: a size that is not a positive integer; resource_exhausted: no memory
 */
export function createReplayBuffer(sizes: ReplaySizes): ReplayBuffer {
  const { capacity, observationSize, actionSize, contextSize = 0 } = sizes;
  checkSizes(sizes);
  const actionAt = observationSize;
  const nextObservationAt = actionAt + actionSize;
  const rewardAt = nextObservationAt + observationSize;
  const terminatedAt = rewardAt + 1;
  const contextAt = terminatedAt + 1;
  const rowSize = contextAt + contextSize;
  const rows = reserve(capacity, rowSize);
  let count = 0;
  let next = 0;

  return {
    get count() {
      return count;
    },

    add({ observation, action, reward, nextObservation, terminated, context }) {
      checkValues('observation', observation, observationSize);
      checkValues('action', action, actionSize);
      checkValues('nextObservation', nextObservation, observationSize);
      if (contextSize > 0) checkValues('context', context ?? [], contextSize);
      if (!Number.isFinite(Math.fround(reward))) throw notFinite('reward', reward);
      const row = next * rowSize;
      rows.set(observation, row);
      rows.set(action, row + actionAt);
      rows.set(nextObservation, row + nextObservationAt);
      rows[row + rewardAt] = reward;
      rows[row + terminatedAt] = terminated ? 1 : 0;
      if (contextSize > 0) rows.set(context!, row + contextAt);
      next = next + 1 === capacity ? 0 : next + 1;
      if (count < capacity) count += 1;
    },

    sample(random, into) {
      if (count === 0) {
        throw invalidArgument({
          where: 'ReplayBuffer.sample',
          expected: 'at least one transition in the buffer',
          actual: 'none',
        });
      }
      checkBatch(into, sizes);
      const { size, observation, action, reward, nextObservation, terminated, context } = into;
      for (let b = 0; b < size; b++) {
        const row = random.integer(count) * rowSize;
        copy(rows, row, observation, b * observationSize, observationSize);
        copy(rows, row + actionAt, action, b * actionSize, actionSize);
        copy(rows, row + nextObservationAt, nextObservation, b * observationSize, observationSize);
        reward[b] = rows[row + rewardAt]!;
        terminated[b] = rows[row + terminatedAt]!;
        if (contextSize > 0) copy(rows, row + contextAt, context, b * contextSize, contextSize);
      }
    },

    save() {
      return {
        state: { ...sizes, count, next },
        arrays: { rows: rows.subarray(0, count * rowSize) },
      };
    },

    restore({ state, arrays }) {
      for (const name of ['capacity', 'observationSize', 'actionSize'] as const) {
        if (state[name] !== sizes[name]) throw differs(name, sizes[name], state[name]);
      }
      if ((state.contextSize ?? 0) !== contextSize) throw differs('contextSize', contextSize, state.contextSize ?? 0);
      const oldest = state.count < capacity ? state.count : state.next;
      if (!Number.isSafeInteger(oldest) || oldest < 0 || oldest !== state.next || state.count > capacity) {
        throw differs('count and next', `positions within ${capacity}`, `${state.count} and ${state.next}`);
      }
      if (arrays.rows.length !== state.count * rowSize) {
        throw differs('rows', `${state.count * rowSize} values`, arrays.rows.length);
      }
      rows.set(arrays.rows);
      count = state.count;
      next = state.next;
    },
  };
}

function checkSizes({ capacity, observationSize, actionSize, contextSize = 0 }: ReplaySizes): void {
  for (const [name, size] of Object.entries({ capacity, observationSize, actionSize })) {
    if (Number.isSafeInteger(size) && size >= 1) continue;
    throw invalidArgument({ where: `replay buffer ${name}`, expected: 'a positive integer', actual: `${size}` });
  }
  if (Number.isSafeInteger(contextSize) && contextSize >= 0) return;
  const [where, expected] = ['replay buffer contextSize', 'an integer of at least 0'];
  throw invalidArgument({ where, expected, actual: `${contextSize}` });
}

function checkBatch({ size, observation, action, context }: Batch, sizes: ReplaySizes): void {
  const { observationSize, actionSize, contextSize = 0 } = sizes;
  const refuse = (expected: string, actual: string) =>
    invalidArgument({ where: 'ReplayBuffer.sample', expected, actual });
  if (observation.length !== size * observationSize || action.length !== size * actionSize) {
    throw refuse(
      `a batch of ${observationSize} observation and ${actionSize} action values a row`,
      `${observation.length / size} and ${action.length / size}`,
    );
  }
  if (context.length === size * contextSize) return;
  throw refuse(`a batch of ${contextSize} context values a row`, `${context.length / size}`);
}

/** For a few values a loop is faster than `set` over a fresh subarray. */
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
