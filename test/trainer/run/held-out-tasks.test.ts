/** Tasks that training cannot meet: all of them lie outside the training range, and a longer list begins with the shorter. */

import { expect, test } from 'vitest';
import { uniformTasks } from '../../../src/envs/task-distribution.ts';
import { tasksOutOfRange } from '../../../trainer/run/held-out-tasks.ts';

type Range = readonly [number, number];
const tasks = (train: readonly Range[], test: readonly Range[]) =>
  uniformTasks({ spec: { names: train.map((_, i) => `v${i}`) } as never, train, test });
const drawn = (train: readonly Range[], test: readonly Range[], episodeCount: number) =>
  tasksOutOfRange(tasks(train, test), { episodeCount, seed: 4 });

test('draws within the training range are left out', async () => {
  const found = (await drawn([[0, 2.5]], [[0, 3]], 30))!;
  expect(found).toHaveLength(30);
  for (const [velocity] of found) expect(velocity).toBeGreaterThan(2.5);
  expect((await drawn([[0, 2.5]], [[0, 3]], 7))!).toEqual(found.slice(0, 7));
});

test('one value outside is enough; a test range inside has none, and one that is next to never left is refused', async () => {
  const plane = await drawn(
    [
      [-1, 1],
      [0, 1],
    ],
    [
      [-1, 1],
      [-1, 1],
    ],
    20,
  );
  for (const [, second] of plane!) expect(second).toBeLessThan(0);
  expect(await drawn([[0, 3]], [[1, 2]], 5)).toBeUndefined();
  await expect(drawn([[0, 1]], [[0, 1 + 1e-9]], 1)).rejects.toThrow('one outside the training range in 1024 draws');
});
