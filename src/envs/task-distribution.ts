/** Families of tasks: what a context means and how tasks are drawn, with separate draws for training and testing. */

import { createRandom, type Random } from '../contract/random.ts';
import type { ContextSpec } from '../contract/tensor-spec.ts';

export type TaskSplit = 'train' | 'test';

export type SampleTasksOptions = {
  readonly split: TaskSplit;
  /** Integer in [0, 2^53). The two splits of a seed are independent. */
  readonly seed: number;
  /** The family's own count if absent. */
  readonly count?: number;
};

/** A family of tasks of one environment, told apart by their context. */
export type TaskDistribution = {
  readonly spec: ContextSpec;
  /** The context's values in each split, as [low, high] per value; what a policy may normalise by. */
  readonly ranges: Readonly<Record<TaskSplit, readonly (readonly [low: number, high: number])[]>>;
  /** How many tasks each split has by default. */
  readonly counts: Readonly<Record<TaskSplit, number>>;
  /** Draws one task into `context`, [C]. */
  draw(random: Random, context: Float64Array, split: TaskSplit): void;
  /**
   * Where the reward is too rare to learn from: a reward of a step in a task that updates may learn from instead. What a policy adapts by,
   * and what evaluations count, is the environment's own. Built-in environments alone have it.
   */
  readonly denseReward?: DenseReward | undefined;
  /** The tasks of a split: a function of the seed; the first n of a longer list are the list of n. Each [C]. */
  sample(options: SampleTasksOptions): Float64Array[];
  /** The task of a turn, an integer from 0, where the family has few tasks: turns that follow each other have each equally often. */
  inTurn?: ((turn: number) => Float64Array) | undefined;
};

/** Context [C] and the observation after the step [O], environment units. */
export type DenseReward = (context: ArrayLike<number>, nextObservation: ArrayLike<number>) => number;

/** A family whose tasks may come from another thread. */
export type TaskFamily = Pick<TaskDistribution, 'spec' | 'ranges' | 'counts' | 'denseReward'> & {
  sample(options: SampleTasksOptions): Float64Array[] | Promise<Float64Array[]>;
};

const streams: Readonly<Record<TaskSplit, number>> = { train: 2, test: 3 };

type Ranges = readonly (readonly [number, number])[];

/** Tasks whose context values are uniform in ranges, independent of each other. */
export function uniformTasks({
  spec,
  train,
  test = train,
  counts = { train: 100, test: 30 },
}: {
  readonly spec: ContextSpec;
  readonly train: Ranges;
  readonly test?: Ranges;
  readonly counts?: Readonly<Record<TaskSplit, number>>;
}): TaskDistribution {
  const ranges = { train, test };
  return distribution(spec, ranges, counts, (random, context, split) => {
    ranges[split].forEach(([low, high], i) => {
      context[i] = low + (high - low) * random.uniform();
    });
  });
}

/** Two tasks, forward (+1) and backward (-1), the same in both splits. */
export function directionTasks(spec: ContextSpec): TaskDistribution {
  const range: Ranges = [[-1, 1]];
  const draw = (random: Random, context: Float64Array) => {
    context[0] = random.integer(2) === 0 ? 1 : -1;
  };
  const inTurn = (turn: number) => Float64Array.of(turn % 2 === 0 ? 1 : -1);
  return {
    ...distribution(spec, { train: range, test: range }, { train: 2, test: 2 }, draw),
    // Each direction equally often, whatever the seed.
    sample: ({ count = 2 }) => Array.from({ length: count }, (_, turn) => inTurn(turn)),
    inTurn,
  };
}

/** A family from a way to draw one task. */
export function distribution(
  spec: ContextSpec,
  ranges: TaskDistribution['ranges'],
  counts: TaskDistribution['counts'],
  draw: TaskDistribution['draw'],
): TaskDistribution {
  return {
    spec,
    ranges,
    counts,
    draw,
    sample({ split, seed, count = counts[split] }) {
      const random = createRandom(seed, streams[split]);
      return Array.from({ length: count }, () => {
        const context = new Float64Array(spec.names.length);
        draw(random, context, split);
        return context;
      });
    },
  };
}
