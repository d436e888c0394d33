/** The tasks of a run: those that it trains in, held-out ones of the same range, and those out of range. */

import { invalidArgument } from '../../../src/contract/errors.ts';
import { type TaskFamily, type TaskSplit, uniformTasks } from '../../../src/envs/task-distribution.ts';
import { tasksInRange, tasksOutOfRange } from '../../run/held-out-tasks.ts';
import type { PearlConfig } from './config.ts';

/** Held-out tasks have draws of their own also if they are drawn like training tasks. */
const testSeedOffset = 100;

export type RunTasks = {
  /** Tasks of the environment, or those that were given instead. */
  readonly ranges: TaskFamily['ranges'];
  readonly denseReward: TaskFamily['denseReward'];
  /** [C] each, environment units. */
  readonly train: readonly Float64Array[];
  readonly test: readonly Float64Array[];
  /** Undefined if no task is out of the training range. */
  readonly outOfRange: readonly Float64Array[] | undefined;
};

/**
 * @param options.testTaskCount the environment's count if absent
 * @throws HyperpolicyError invalid_argument: a range that does not fit the context
 */
export async function runTasks(
  given: TaskFamily,
  config: Pick<PearlConfig, 'trainTaskCount' | 'trainRange' | 'testRange'>,
  { seed, testTaskCount }: { readonly seed: number; readonly testTaskCount: number | undefined },
): Promise<RunTasks> {
  const { trainTaskCount } = config;
  const tasks = withGivenRanges(given, config);
  const drawn = { episodeCount: testTaskCount ?? tasks.counts.test, seed: seed + testSeedOffset };
  return {
    ranges: tasks.ranges,
    denseReward: tasks.denseReward,
    train: await tasks.sample({ split: 'train', seed, ...(trainTaskCount !== undefined && { count: trainTaskCount }) }),
    test: await tasksInRange(tasks, drawn),
    outOfRange: await tasksOutOfRange(tasks, drawn),
  };
}

type Range = readonly (readonly [number, number])[];

/**
 * Uniform draws from the ranges that are given; else the family's own.
 * @throws HyperpolicyError invalid_argument: a range that does not fit the context
 */
export function withGivenRanges(
  given: TaskFamily,
  { trainRange, testRange }: Pick<PearlConfig, 'trainRange' | 'testRange'>,
): TaskFamily {
  const ranges: Readonly<Record<TaskSplit, Range | undefined>> = {
    train: trainRange && rangeOf('trainRange', trainRange, given),
    test: testRange && rangeOf('testRange', testRange, given),
  };
  const { spec, counts, denseReward } = given;
  const all = { train: ranges.train ?? given.ranges.train, test: ranges.test ?? given.ranges.test };
  const uniform = uniformTasks({ spec, counts, ...all });
  const sample: TaskFamily['sample'] = (options) =>
    (ranges[options.split] === undefined ? given : uniform).sample(options);
  return { spec, counts, denseReward, ranges: all, sample };
}

/** Low and high of each value of a context, which a setting has one after the other; an odd last one is left out. */
export const pairsOf = (values: readonly number[]): Range =>
  Array.from({ length: Math.floor(values.length / 2) }, (_, i) => [values[2 * i]!, values[2 * i + 1]!]);

function rangeOf(name: string, values: readonly number[], { spec }: TaskFamily): Range {
  const ranges = pairsOf(values);
  if (values.length === 2 * spec.names.length && ranges.every(([low, high]) => low < high)) return ranges;
  throw invalidArgument({
    where: `PEARL ${name}`,
    expected: `low and high of each of ${spec.names.join(', ')}, low first`,
    actual: values.join(','),
  });
}
