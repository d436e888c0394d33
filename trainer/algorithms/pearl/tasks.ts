/** The tasks of a run: those that it trains in, held-out ones of the same range, and those out of range. */

import { invalidArgument } from '../../../src/contract/errors.ts';
import { distribution, type TaskDistribution, type TaskSplit } from '../../../src/envs/task-distribution.ts';
import { tasksOutOfRange } from '../../run/held-out-tasks.ts';
import type { PearlConfig } from './config.ts';

/** Held-out tasks have draws of their own also where they are drawn like training tasks. */
const testSeedOffset = 100;

export type RunTasks = {
  readonly distribution: TaskDistribution;
  /** [C] each, environment units. */
  readonly train: readonly Float64Array[];
  readonly test: readonly Float64Array[];
  /** Undefined where no task is out of the training range. */
  readonly outOfRange: readonly Float64Array[] | undefined;
};

/**
 * @param options.testTaskCount the environment's count where absent
 * @throws HyperpolicyError invalid_argument: a range that does not fit the context
 */
export function runTasks(
  given: TaskDistribution,
  { trainTaskCount, trainRange, testRange }: Pick<PearlConfig, 'trainTaskCount' | 'trainRange' | 'testRange'>,
  { seed, testTaskCount }: { readonly seed: number; readonly testTaskCount: number | undefined },
): RunTasks {
  const tasks = withRanges(given, {
    train: trainRange && rangeOf('trainRange', trainRange, given),
    test: testRange && rangeOf('testRange', testRange, given),
  });
  const count = testTaskCount ?? tasks.counts.test;
  const testSeed = seed + testSeedOffset;
  const outOfRange = tasksOutOfRange(tasks, { episodeCount: count, seed: testSeed });
  // The test range is that of the training, or what is out of range.
  const split = outOfRange === undefined ? 'test' : 'train';
  return {
    distribution: tasks,
    train: tasks.sample({ split: 'train', seed, ...(trainTaskCount !== undefined && { count: trainTaskCount }) }),
    test: tasks.sample({ split, seed: testSeed, count }),
    outOfRange,
  };
}

type Range = readonly (readonly [number, number])[];

/** Uniform draws from the ranges that are given; else the family's own. */
function withRanges(given: TaskDistribution, ranges: Readonly<Record<TaskSplit, Range | undefined>>): TaskDistribution {
  const { train, test } = ranges;
  if (train === undefined && test === undefined) return given;
  const all = { train: train ?? given.ranges.train, test: test ?? given.ranges.test };
  const drawn = distribution(given.spec, all, given.counts, (random, context, split) => {
    const range = ranges[split];
    if (range === undefined) given.draw(random, context, split);
    range?.forEach(([low, high], i) => {
      context[i] = low + (high - low) * random.uniform();
    });
  });
  return { ...drawn, denseReward: given.denseReward };
}

function rangeOf(name: string, values: readonly number[], { spec }: TaskDistribution): Range {
  const ranges = spec.names.map((_, i) => [values[2 * i]!, values[2 * i + 1]!] as const);
  if (values.length === 2 * spec.names.length && ranges.every(([low, high]) => low < high)) return ranges;
  throw invalidArgument({
    where: `PEARL ${name}`,
    expected: `low and high of each of ${spec.names.join(', ')}, low first`,
    actual: values.join(','),
  });
}
