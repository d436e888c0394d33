/** Tasks of an evaluation that training cannot meet. Those within the training range an environment draws itself, from the seed. */

import { failedPrecondition } from '../../src/contract/errors.ts';
import type { TaskFamily } from '../../src/envs/task-distribution.ts';

/** A part of the test range that is met less often than once in so many draws is not looked for. */
const drawsPerTaskMax = 1024;

/**
 * A task per episode from the range of test tasks, each outside the training range; undefined if the whole test range lies inside.
 * @param options.seed decides the tasks
 * @throws HyperpolicyError failed_precondition: test tasks that reach beyond the training range by their range, but not by their draws
 */
export async function tasksOutOfRange(
  tasks: TaskFamily | null,
  { episodeCount, seed }: { readonly episodeCount: number; readonly seed: number },
): Promise<Float64Array[] | undefined> {
  if (tasks === null) return undefined;
  const { train, test } = tasks.ranges;
  const isBeyond = (value: number, i: number) => value < train[i]![0] || value > train[i]![1];
  if (!test.some(([low, high], i) => isBeyond(low, i) || isBeyond(high, i))) return undefined;
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
