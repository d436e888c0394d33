/** The learners that a run keeps at chosen steps: which, that they stay, and what a killed run makes of them. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { specSize } from '../../../src/contract/tensor-spec.ts';
import type { Env } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import type { OffPolicyLearner } from '../../../trainer/off-policy/learner.ts';
import { checkpointSteps, loadCheckpoint } from '../../../trainer/run/checkpoint.ts';
import { loadLearner } from '../../../trainer/run/kept-learners.ts';
import { type AloneOptions, trainAlone } from './run-alone.ts';
import { createTinyLearner } from './tiny-learner.ts';

let scratch: string;
let env: Env;
let evaluationEnv: Env;
let runDirectory: string;

beforeAll(async () => {
  [env, evaluationEnv] = [await createEnvironment('Pendulum-v1'), await createEnvironment('Pendulum-v1')];
});
afterAll(() => {
  env.dispose();
  evaluationEnv.dispose();
});
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'kept-test-'));
  runDirectory = join(scratch, 'run');
  return () => rm(scratch, { recursive: true });
});

const config = {
  ...{ stepCount: 700, warmUpStepCount: 50, batchSize: 4, evaluationInterval: 1000, evaluationEpisodeCount: 1 },
  ...{ replayCapacity: 900, seed: 5, checkpointInterval: 300 },
};

const newLearner = (): OffPolicyLearner =>
  createTinyLearner(specSize(env.specs.observation), specSize(env.specs.action));

const train = (options: Partial<AloneOptions> = {}) =>
  trainAlone({ env, evaluationEnv, learner: newLearner(), config, runDirectory, ...options });

const keptSteps = () => checkpointSteps(join(runDirectory, 'kept'));

test('those of the chosen steps stay, and each is the learner as it was then', async () => {
  const warnings: unknown[][] = [];
  const log = { info: () => {}, warn: (...line: unknown[]) => warnings.push(line) };
  await train({ keptSteps: [250, 450, 700, 800], log });
  expect(warnings).toEqual([
    [{ steps: '800' }, '--keep-at names steps beyond the last, 700: no learner of them is kept'],
  ]);
  expect(await keptSteps()).toEqual([250, 450, 700]);
  expect(await checkpointSteps(join(runDirectory, 'checkpoints'))).toEqual([600, 700]);
  const kept = await loadLearner(runDirectory, 450);
  const short = join(scratch, 'short');
  await train({ runDirectory: short, config: { ...config, stepCount: 450 } });
  const { step, learner } = await loadLearner(short);
  expect({ step, arrays: learner.arrays }).toEqual({ step: 450, arrays: kept.learner.arrays });
  expect(kept.learner.arrays).not.toEqual((await loadLearner(runDirectory, 250)).learner.arrays);
});

test('a resumed run removes those of the steps that it does again, and keeps the others', async () => {
  const learner = newLearner();
  let updates = 0;
  const dying: OffPolicyLearner = {
    ...learner,
    learn(batch, random) {
      updates += 1;
      if (updates === 500) throw new Error('power cut');
      return learner.learn(batch, random);
    },
  };
  await expect(train({ learner: dying, keptSteps: [250, 450] })).rejects.toThrow('power cut');
  expect(await keptSteps()).toEqual([250, 450]);
  await train({ resume: true, config: { ...config, stepCount: 350 }, keptSteps: [250, 320] });
  expect(await keptSteps()).toEqual([250, 320]);
});

test('the learner of a checkpoint is found as well, a missing one is refused by name', async () => {
  await train({ keptSteps: [250] });
  expect((await loadLearner(runDirectory)).step).toBe(700);
  const { arrays } = await loadCheckpoint(join(runDirectory, 'checkpoints', '600'));
  const { learner } = await loadLearner(runDirectory, 600);
  const names = Object.keys(learner.arrays);
  expect(names.length).toBeGreaterThan(0);
  for (const name of names) expect(learner.arrays[name]).toEqual(arrays[`learner/${name}`]);
  await expect(loadLearner(runDirectory, 100)).rejects.toMatchObject({
    kind: 'not_found',
    message: `run directory "${runDirectory}": expected a learner of step 100, got those of steps 250, 600, 700. Name one of its steps, or keep this one: train with --keep-at 100`,
  });
  await expect(loadLearner(runDirectory, 100, { stepUnit: 'iterations' })).rejects.toThrow(
    'expected a learner of iteration 100, got those of iterations 250, 600, 700. Name one of its iterations, or',
  );
  await expect(loadLearner(scratch)).rejects.toThrow('expected a checkpoint, got none. Train first');
});
