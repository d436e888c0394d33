/** A model's environment draws tasks from the range that its run was given. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createModelEnvironment, withTasksInTurn } from '../../src/envs/model-environment.ts';
import { writeLine } from '../trainer/line-file.ts';

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'model-environment-test-'));
});
afterAll(() => rm(scratch, { recursive: true }));

const goalIn = async (environment: string, own: string): Promise<number> => {
  const taskRange = { low: [3], high: [4] };
  const env = await createModelEnvironment({ model: 'm', environment, taskRange }, { own, where: 'test' });
  env.reset(1);
  return env.context![0]!;
};

test("the user's own file, which may lie in another folder", async () => {
  await writeLine(scratch, 'line', {});
  expect(await goalIn('./line.mjs', join(scratch, 'line.mjs'))).toBeGreaterThanOrEqual(3);
});

test('another environment has its own tasks', async () => {
  await writeLine(scratch, 'other', {});
  expect(await goalIn('./line.mjs', join(scratch, 'other.mjs'))).toBeLessThan(1);
});

test('few tasks come in turn, unless the model was trained in a range of its own, or one is given', async () => {
  const environment = 'HalfCheetah-Fwd-Back';
  const directionsOf = async (
    taskRange: Parameters<typeof createModelEnvironment>[0]['taskRange'],
    context?: number[],
  ) => {
    const opened = await createModelEnvironment(
      { model: 'm', environment, taskRange },
      { own: undefined, where: 'test' },
    );
    const env = withTasksInTurn(opened);
    const directions = [0, 1, 2, 3, 4, 5].map((seed) => {
      env.reset(seed, context && { context });
      return env.context![0]!;
    });
    env.dispose();
    return directions;
  };
  expect(await directionsOf(undefined)).toEqual([1, -1, 1, -1, 1, -1]);
  expect(await directionsOf(undefined, [1])).toEqual([1, 1, 1, 1, 1, 1]);
  expect(await directionsOf({ low: [-1], high: [-1] })).toEqual([-1, -1, -1, -1, -1, -1]);
});

test('tasks of a range are drawn as without turns', async () => {
  const env = await createModelEnvironment(
    { model: 'm', environment: 'Point-Robot', taskRange: undefined },
    { own: undefined, where: 'test' },
  );
  expect(withTasksInTurn(env)).toBe(env);
  env.dispose();
});
