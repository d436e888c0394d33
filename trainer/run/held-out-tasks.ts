/** Tasks of an evaluation that training cannot meet. Those within the training range an environment draws itself, from the seed. */

import type { TaskFamily } from '../../src/envs/task-distribution.ts';

/**
 * A task per episode from the range of test tasks, if that range has tasks outside the training range; else undefined.
 * @param options.seed decides the tasks
 */
export async function tasksOutOfRange(
  tasks: TaskFamily | null,
  { episodeCount, seed }: { readonly episodeCount: number; readonly seed: number },
): Promise<Float64Array[] | undefined> {
  const isOutside = tasks?.ranges.test.some(([low, high], i) => {
    const [trainLow, trainHigh] = tasks.ranges.train[i]!;
    return low < trainLow || high > trainHigh;
  });
  return isOutside === true ? tasks?.sample({ split: 'test', seed, count: episodeCount }) : undefined;
}
