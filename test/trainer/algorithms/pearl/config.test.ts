/** Settings that do not fit each other, and the tasks of a run. */

import { expect, test } from 'vitest';
import { createEnvironment } from '../../../../src/envs/registry.ts';
import { checkPearlConfig, type PearlConfig, pearlDefaults } from '../../../../trainer/algorithms/pearl/config.ts';
import { createPearlNetworks, createTaskNetworks } from '../../../../trainer/algorithms/pearl/networks.ts';
import { runTasks } from '../../../../trainer/algorithms/pearl/tasks.ts';

test.each<[Partial<PearlConfig>, string]>([
  [{ agent: 'pearl', networks: 'hyper' }, 'PEARL networks of pearl: expected mlp, got hyper'],
  [
    { agent: 'no-context', networks: 'mlp', encodesNextObservation: true },
    'PEARL encodesNextObservation of no-context: expected false, got true',
  ],
  [
    { encoder: { architecture: 'pearl-gru-encoder', hiddenSizes: [8], aggregation: 'mean' } },
    'PEARL aggregation of pearl-gru-encoder: expected none, got mean',
  ],
])('%j is refused', (given, text) => {
  expect(() => checkPearlConfig({ ...pearlDefaults('hyper'), ...given })).toThrow(text);
});

test.each(['pearl', 'no-context'] as const)('actions without bounds are refused: %s', async (agent) => {
  const environment = await createEnvironment('Point-Robot');
  const { action } = environment.specs;
  const specs = { ...environment.specs, action: { ...action, high: [null, ...action.high.slice(1)] } };
  const config = { ...pearlDefaults('mlp'), agent, networks: 'mlp' as const };
  const create = () => (agent === 'pearl' ? createPearlNetworks(config, specs) : createTaskNetworks(config, specs, 0));
  expect(create).toThrow(
    `train pearl: action "${action.names[0]}": expected a low and a high bound, as the policy maps -1 to 1 onto them`,
  );
  environment.dispose();
});

test('held-out tasks are of the training range, those out of range of the other; a range given replaces the environment’s', async () => {
  const env = await createEnvironment('HalfCheetah-Vel-Medium');
  const options = { seed: 1, testTaskCount: 20 };
  const { train, test: held, outOfRange } = await runTasks(env.tasks!, {}, options);
  const within = (tasks: readonly Float64Array[], low: number, high: number) =>
    tasks.every(([velocity]) => velocity! >= low && velocity! <= high);
  expect([train.length, held.length, outOfRange!.length]).toEqual([100, 20, 20]);
  expect(within(train, 0, 2.5) && within(held, 0, 2.5) && within(outOfRange!, 2.5, 3)).toBe(true);
  expect(held.some(([velocity]) => train.some(([other]) => other === velocity))).toBe(false);
  const given = await runTasks(env.tasks!, { trainTaskCount: 7, trainRange: [1, 2], testRange: [4, 5] }, options);
  expect(given.train).toHaveLength(7);
  expect(within(given.train, 1, 2) && within(given.test, 1, 2) && within(given.outOfRange!, 4, 5)).toBe(true);
  await expect(runTasks(env.tasks!, { testRange: [1, 2, 3] }, options)).rejects.toThrow(
    'PEARL testRange: expected low and high of each of goal.x-velocity, low first, got 1,2,3',
  );
  env.dispose();
});
