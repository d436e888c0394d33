/** A task goes from the environment through collector, replay and batch to the learner, and through evaluation. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Env } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import type { OffPolicyConfig } from '../../../trainer/loops/off-policy-config.ts';
import type { OffPolicyLearner } from '../../../trainer/off-policy/learner.ts';
import { readMetrics } from '../../../trainer/run/metrics.ts';
import { trainAlone } from './run-alone.ts';
import { createTinyLearner } from './tiny-learner.ts';

let scratch: string;
let env: Env;
let evaluationEnv: Env;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'context-test-'));
  env = await createEnvironment('Point-Robot');
  evaluationEnv = await createEnvironment('Point-Robot');
});
afterAll(async () => {
  env.dispose();
  evaluationEnv.dispose();
  await rm(scratch, { recursive: true });
});

const config: OffPolicyConfig = {
  stepCount: 130,
  warmUpStepCount: 30,
  batchSize: 8,
  evaluationInterval: 100,
  evaluationEpisodeCount: 3,
  replayCapacity: 200,
  seed: 2,
  checkpointInterval: 1000,
};

/** Walks towards its task, and notes the tasks that it is given. Rows of a batch carry their own task. */
function taskLearner() {
  const tiny = createTinyLearner(2, 2);
  const seen = { act: new Set<string>(), explore: new Set<string>(), learn: new Set<string>() };
  const key = (values: ArrayLike<number>) => Array.from(values, Math.fround).join(' ');
  const learner: OffPolicyLearner = {
    ...tiny,
    act(observation, out, context) {
      seen.act.add(key(context!));
      for (let i = 0; i < 2; i++) out[i] = Math.max(-1, Math.min(1, 10 * (context![i]! - observation[i]!)));
    },
    explore(observation, random, out, context) {
      seen.explore.add(key(context!));
      tiny.explore(observation, random, out);
    },
    learn(batch, random) {
      for (let b = 0; b < batch.size; b++) seen.learn.add(key(batch.context.subarray(2 * b, 2 * b + 2)));
      return tiny.learn(batch, random);
    },
  };
  return { learner, seen };
}

test('the learner sees each episode with its own task', async () => {
  const { learner, seen } = taskLearner();
  await trainAlone({ env, evaluationEnv, learner, config, runDirectory: join(scratch, 'tasks') });
  // Episodes of Point-Robot have a fixed length and a new task each; some of the first end in the warm-up.
  const episodeCount = Math.ceil(config.stepCount / env.episodeStepCountMax);
  const warmUpEpisodes = Math.floor(config.warmUpStepCount / env.episodeStepCountMax);
  expect(seen.explore.size).toBe(episodeCount - warmUpEpisodes);
  expect(seen.learn.size).toBe(episodeCount);
  for (const task of seen.explore) expect(seen.learn).toContain(task);
  // Three episodes, the same starts and tasks in each of the three evaluations; none is one of training.
  expect(seen.act.size).toBe(config.evaluationEpisodeCount);
  for (const task of seen.act) expect(seen.learn).not.toContain(task);
});

test('a policy that reads the task does better in evaluation than one that does not', async () => {
  const returnOf = async (learner: OffPolicyLearner, name: string) => {
    const { results } = await trainAlone({
      env,
      evaluationEnv,
      learner,
      config,
      runDirectory: join(scratch, name),
    });
    return results.evaluationReturn!;
  };
  const blind = { ...taskLearner().learner, act: createTinyLearner(2, 2).act };
  expect(await returnOf(taskLearner().learner, 'sees')).toBeGreaterThan((await returnOf(blind, 'blind')) + 1);
});

test('a run with tasks, stopped and resumed, equals the uninterrupted one', async () => {
  const run = async (name: string, options: { stepCount: number; resume?: boolean }) => {
    const { stepCount, resume } = options;
    const runDirectory = join(scratch, name);
    const settings = { ...config, evaluationInterval: 1000, stepCount };
    await trainAlone({
      env,
      evaluationEnv,
      learner: taskLearner().learner,
      config: settings,
      runDirectory,
      resume,
    });
    return readMetrics(runDirectory).map(({ seconds: _, ...metrics }) => metrics);
  };
  const whole = await run('whole', { stepCount: 130 });
  await run('parts', { stepCount: 57 });
  const resumed = await run('parts', { stepCount: 130, resume: true });
  expect(resumed.filter(({ step }) => step !== 57)).toEqual(whole);
  expect(whole.some((record) => 'weight' in record)).toBe(true);
});
