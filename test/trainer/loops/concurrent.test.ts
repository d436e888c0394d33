/** A run is the same whichever threads step its environments and evaluate its learner, and whatever they are doing when it is stopped. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { sacDefaults } from '../../../trainer/algorithms/sac/config.ts';
import { createSacLearner } from '../../../trainer/algorithms/sac/learner.ts';
import { td3Defaults } from '../../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { type RunOptions, trainOffPolicy } from '../../../trainer/loops/off-policy.ts';
import type { OffPolicyConfig } from '../../../trainer/loops/off-policy-config.ts';
import type { OffPolicyLearner } from '../../../trainer/off-policy/learner.ts';
import { createVectorEnv } from '../../../trainer/rollout/vector-env.ts';
import { loadNewestCheckpoint } from '../../../trainer/run/checkpoint.ts';
import { createEvaluationThread } from '../../../trainer/run/evaluation-thread.ts';
import type { Evaluator } from '../../../trainer/run/evaluator.ts';
import { readMetrics } from '../../../trainer/run/metrics.ts';
import type { Portable } from '../../../trainer/run/portable-policy.ts';
import { createLocalEvaluator } from './run-alone.ts';

const environment = 'Pendulum-v1';
const seed = 3;
const critic = { architecture: 'mlp-standard', hiddenSizes: [8] };
const sizes = { actorHiddenSizes: [8], batchSize: 8 };
const config: OffPolicyConfig = {
  stepCount: 700,
  warmUpStepCount: 60,
  updatesPerStep: 0.5,
  environmentCount: 3,
  batchSize: sizes.batchSize,
  evaluationInterval: 300,
  evaluationEpisodeCount: 2,
  replayCapacity: 500,
  seed,
  checkpointInterval: 10_000,
};

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'concurrent-test-'));
});
afterAll(() => rm(scratch, { recursive: true }));

type Learner = OffPolicyLearner & Portable;
type Setup = {
  readonly workerCount: number;
  readonly evaluator: (learner: Learner) => Promise<Evaluator> | Evaluator;
  readonly run?: Partial<RunOptions>;
};

async function createLearner(name: 'td3' | 'sac'): Promise<Learner> {
  const { specs, dispose } = await createEnvironment(environment);
  dispose();
  const options = { specs, engine: createTracedEngine({ threadCount: 1 }), seed };
  return name === 'td3'
    ? createTd3Learner({ ...options, config: { ...td3Defaults(critic), ...sizes } })
    : createSacLearner({ ...options, config: { ...sacDefaults(critic, environment), ...sizes } });
}

const onThread = (learner: Learner) => createEvaluationThread(environment, learner);
const here = async (learner: Learner) =>
  createLocalEvaluator(await createEnvironment(environment), learner.act.bind(learner));

/** Never ends unless aborted, as an evaluation that has only begun. */
const unending = (): Evaluator => ({
  isConcurrent: true,
  evaluate: (_, signal) =>
    new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error))),
  async dispose() {},
});

async function runOf(name: 'td3' | 'sac', directory: string, { workerCount, evaluator, run }: Setup) {
  const learner = await createLearner(name);
  const envs = await createVectorEnv({ env: environment, environmentCount: 3, seed, workerCount });
  const evaluates = await evaluator(learner);
  const runDirectory = join(scratch, directory);
  try {
    const result = await trainOffPolicy({
      stepUnit: 'steps',
      envs,
      evaluator: evaluates,
      learner,
      config,
      runDirectory,
      ...run,
    });
    const checkpoint = await loadNewestCheckpoint(join(runDirectory, 'checkpoints'));
    const records = readMetrics(runDirectory).map(({ seconds: _, ...metrics }) => metrics);
    return { result, records, arrays: checkpoint!.arrays };
  } finally {
    evaluates.dispose();
    await envs.dispose();
    learner.dispose();
  }
}

test.each(['td3', 'sac'] as const)(
  '%s: threads do not change a run, nor does a stop in an evaluation',
  async (name) => {
    const alone = await runOf(name, `${name}-alone`, { workerCount: 0, evaluator: here });
    // 234 steps of three environments; floor(0.5 x 642) updates, of which every hundredth reports.
    expect(alone.result).toMatchObject({ step: 702, aborted: false });
    expect(alone.records.filter((record) => 'criticLoss' in record).map(({ step }) => step)).toEqual([261, 462, 660]);
    expect(alone.result.evaluations.map(({ step }) => step)).toEqual([0, 300, 600, 702]);

    const together = await runOf(name, `${name}-together`, { workerCount: 2, evaluator: onThread });
    expect(together.records).toEqual(alone.records);
    expect(together.arrays).toEqual(alone.arrays);
    expect(together.result.evaluations).toEqual(alone.result.evaluations);

    const controller = new AbortController();
    const reporter = { report: (step: number) => step >= 270 && controller.abort(), print: () => {} };
    const first = { workerCount: 1, evaluator: unending, run: { signal: controller.signal, reporter } };
    const stopped = await runOf(name, `${name}-stopped`, first);
    // The evaluation before the first step still runs, and everything waits for it.
    expect(stopped.result.evaluations).toEqual([]);
    expect(stopped.records).toEqual([]);
    const second = { workerCount: 0, evaluator: onThread, run: { resume: true } };
    const resumed = await runOf(name, `${name}-stopped`, second);
    expect(resumed.records).toEqual(alone.records);
    expect(resumed.arrays).toEqual(alone.arrays);
    expect(resumed.result.evaluations).toEqual(alone.result.evaluations);
  },
  120_000,
);

test('a run that is stopped in its last evaluation has that in its checkpoint once it is made', async () => {
  const short = { config: { ...config, stepCount: 90, evaluationInterval: 1000 } };
  const alone = await runOf('td3', 'last-alone', { workerCount: 0, evaluator: here, run: short });
  const controller = new AbortController();
  const reporter = { report: (step: number) => step >= 90 && controller.abort(), print: () => {} };
  const run = { ...short, signal: controller.signal, reporter };
  const stopped = await runOf('td3', 'last-stopped', { workerCount: 0, evaluator: unending, run });
  expect(stopped.result).toMatchObject({ step: 90, aborted: true, evaluations: [] });
  const again = { workerCount: 0, evaluator: onThread, run: { ...short, resume: true } };
  const resumed = await runOf('td3', 'last-stopped', again);
  expect(resumed.result.evaluations.map(({ step }) => step)).toEqual([0, 90]);
  // Neither an evaluation that runs nor records that wait are left.
  expect(resumed.arrays).toEqual(alone.arrays);
  expect((await runOf('td3', 'last-stopped', again)).result.evaluations).toEqual(alone.result.evaluations);
}, 60_000);

test('an evaluation that fails in its thread ends the run with its error', async () => {
  const learner = await createLearner('td3');
  const evaluator = createEvaluationThread('No-Such-Environment', learner);
  const order = { episodeCount: 1, seed: 0, outOfRange: false };
  await expect(evaluator.evaluate(order, undefined)).rejects.toThrow('environment: expected one of');
  const controller = new AbortController();
  const cut = createEvaluationThread(environment, learner).evaluate({ ...order, episodeCount: 1e6 }, controller.signal);
  controller.abort();
  await expect(cut).rejects.toThrow('aborted');
  learner.dispose();
});
