/** Tasks of an evaluation: those of the training range, drawn apart from the training's own, and those that training cannot meet. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import type { TaskFamily } from '../../src/envs/task-distribution.ts';

type Drawn = {
  readonly episodeCount: number;
  /** Decides the tasks. */
  readonly seed: number;
};

/**
 * A task per episode from the training range, as the family draws lists of tasks: of two directions each equally often. They are the
 * family's test tasks, which training does not draw, unless these reach beyond the training range.
 */
export const tasksInRange = async (tasks: TaskFamily, { episodeCount, seed }: Drawn): Promise<Float64Array[]> =>
  tasks.sample({ split: reachesBeyond(tasks) ? 'train' : 'test', seed, count: episodeCount });

/** A part of the test range that is met less often than once in so many draws is not looked for. */
const drawsPerTaskMax = 1024;

/**
 * A task per episode from the range of test tasks, each outside the training range; undefined if the whole test range lies inside.
 * @throws HyperpolicyError failed_precondition: test tasks that reach beyond the training range by their range, but not by their draws
 */
export async function tasksOutOfRange(
  tasks: TaskFamily,
  { episodeCount, seed }: Drawn,
): Promise<Float64Array[] | undefined> {
  if (!reachesBeyond(tasks)) return undefined;
  const isBeyond = isBeyondOf(tasks);
  for (let draws = episodeCount; draws <= episodeCount * drawsPerTaskMax; draws *= 2) {
    // A longer list begins with the shorter one, so the tasks do not depend on how often it is drawn.
    const drawn = await tasks.sample({ split: 'test', seed, count: draws });
    const outside = drawn.filter((task) => task.some(isBeyond));
    if (outside.length >= episodeCount) return outside.slice(0, episodeCount);
  }
  throw failedPrecondition({
    where: 'tasks out of range',
    expected: `one outside the training range in ${drawsPerTaskMax} draws of test tasks`,
    actual: 'fewer',
    remedy: 'Give a test range that reaches further beyond the training range',
  });
}

/** Whether a value of a context lies outside the training range. */
const isBeyondOf =
  ({ ranges: { train } }: TaskFamily) =>
  (value: number, i: number): boolean =>
    value < train[i]![0] || value > train[i]![1];

function reachesBeyond(tasks: TaskFamily): boolean {
  const isBeyond = isBeyondOf(tasks);
  return tasks.ranges.test.some(([low, high], i) => isBeyond(low, i) || isBeyond(high, i));
}
