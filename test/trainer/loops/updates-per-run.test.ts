/** Trainings with several updates in one run of the engine: what is due when, and what stops, evaluations and checkpoints find while updates wait. */

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
import type { OffPolicyConfig } from '../../../trainer/loops/off-policy-config.ts';
import type { OffPolicyLearner } from '../../../trainer/off-policy/learner.ts';
import { loadNewestCheckpoint } from '../../../trainer/run/checkpoint.ts';
import { readMetrics } from '../../../trainer/run/metrics.ts';
import { splitParts } from '../../../trainer/run/parts.ts';
import { commandRuns } from '../command-runs.ts';
import { type AloneOptions, trainAlone } from './run-alone.ts';

const environment = 'Pendulum-v1';
const critic = { architecture: 'mlp-standard', hiddenSizes: [8] };
const sizes = { actorHiddenSizes: [8], batchSize: 8 };

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'updates-per-run-test-'));
});
afterAll(() => rm(scratch, { recursive: true }));

/** The end, evaluations and checkpoints come where no K of the tests is through. */
const config: OffPolicyConfig = {
  stepCount: 523,
  warmUpStepCount: 60,
  batchSize: sizes.batchSize,
  evaluationInterval: 150,
  evaluationEpisodeCount: 1,
  replayCapacity: 300,
  seed: 4,
  checkpointInterval: 95,
};

type Run = { readonly algorithm: 'td3' | 'sac'; readonly updatesPerRun: number; readonly policyDelay?: number };

async function createLearner({ algorithm, updatesPerRun, policyDelay = 2 }: Run): Promise<OffPolicyLearner> {
  const { specs, dispose } = await createEnvironment(environment);
  dispose();
  const options = { specs, engine: createTracedEngine({ threadCount: 1 }), seed: config.seed, updatesPerRun };
  return algorithm === 'td3'
    ? createTd3Learner({ ...options, config: { ...td3Defaults(critic), ...sizes, policyDelay } })
    : createSacLearner({
        ...options,
        config: { ...sacDefaults(critic, environment), ...sizes, temperature: 'learned' },
      });
}

async function train(run: Run, directory: string, options: Partial<AloneOptions> = {}) {
  const learner = await createLearner(run);
  const [env, evaluationEnv] = [await createEnvironment(environment), await createEnvironment(environment)];
  const runDirectory = join(scratch, directory);
  const settings = { ...config, updatesPerRun: run.updatesPerRun };
  try {
    const result = await trainAlone({ env, evaluationEnv, learner, config: settings, runDirectory, ...options });
    const records = readMetrics(runDirectory).map(({ seconds: _, ...metrics }) => metrics);
    return { result, records, checkpoints: join(runDirectory, 'checkpoints') };
  } finally {
    learner.dispose();
    for (const opened of [env, evaluationEnv]) opened.dispose();
  }
}

/** The newest checkpoint, and the updates that were taken until then. */
async function newest(checkpoints: string) {
  const checkpoint = (await loadNewestCheckpoint(checkpoints))!;
  const { updateCount } = splitParts(checkpoint, ['learner']).parts.learner.state as { updateCount: number };
  return { step: checkpoint.step, arrays: checkpoint.arrays, updateCount };
}

test.each<Run>([
  { algorithm: 'td3', updatesPerRun: 1 },
  { algorithm: 'td3', updatesPerRun: 2 },
  { algorithm: 'td3', updatesPerRun: 7, policyDelay: 7 },
  { algorithm: 'td3', updatesPerRun: 64 },
  { algorithm: 'sac', updatesPerRun: 2 },
  { algorithm: 'sac', updatesPerRun: 7 },
  { algorithm: 'sac', updatesPerRun: 64 },
])(
  '$algorithm, $updatesPerRun updates in a run: stopped and resumed, it equals the one that was not',
  async (run) => {
    const name = `${run.algorithm}-${run.updatesPerRun}`;
    const whole = await train(run, `${name}-whole`);
    const controller = new AbortController();
    // 204 updates are due then: no multiple of 7 and 64.
    const report = (step: number) => step === 264 && controller.abort();
    let time = 0;
    const now = () => {
      time += 100; // Longer than a slice, so that the signal is seen after each.
      return time;
    };
    const stopped = await train(run, `${name}-stopped`, {
      signal: controller.signal,
      now,
      reporter: { report, print: () => {} },
    });
    expect(stopped.result).toMatchObject({ aborted: true, step: 264 });
    const before = await newest(stopped.checkpoints);
    expect(before.step).toBe(264);
    expect(before.updateCount % run.updatesPerRun).toBe(0);
    expect(before.updateCount).toBeLessThanOrEqual(204);
    const resumed = await train(run, `${name}-stopped`, { resume: true });
    expect(resumed.records).toEqual(whole.records);
    const [expected, actual] = await Promise.all([whole, resumed].map(({ checkpoints }) => newest(checkpoints)));
    expect(actual).toEqual(expected);
    expect(whole.result.evaluations.map(({ step }) => step)).toEqual([0, 150, 300, 450, 523]);
    // 463 updates are due at the end, in whole runs.
    expect(expected!.updateCount).toBe(Math.floor(463 / run.updatesPerRun) * run.updatesPerRun);
  },
  120_000,
);

const small =
  `--env ${environment} --critic mlp-small --actor-hidden 8 --batch-size 8 --threads 1 --eval-episodes 1 --warm-up 60 --temperature learned`.split(
    ' ',
  );
const { train: start, finish, left } = commandRuns('sac', () => scratch);

test('SAC with a learned temperature, 7 updates in a run, killed and resumed, equals the run that was not', async () => {
  const all = [...small, '--updates-per-run', '7', '--steps', '900', '--eval-every', '300'];
  await finish('sac-whole', [...all, '--checkpoint-every', '900']);
  const killed = start('sac-killed', [...all, '--checkpoint-every', '100']);
  await killed.until(/step 300: evaluation/);
  killed.process.kill('SIGKILL');
  await killed.finished;
  const { step } = await left('sac-killed');
  expect(step).toBeLessThan(900);
  await finish('sac-killed', ['--resume']);
  expect(await left('sac-killed')).toEqual(await left('sac-whole'));
}, 120_000);
