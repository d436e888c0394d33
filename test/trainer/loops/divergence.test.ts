/** Critics that diverge are told of, once, and those that do not are not. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Env } from '../../../src/envs/env.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { type SacConfig, sacDefaults } from '../../../trainer/algorithms/sac/config.ts';
import { createSacLearner } from '../../../trainer/algorithms/sac/learner.ts';
import { td3Defaults } from '../../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { readMetrics } from '../../../trainer/run/metrics.ts';
import { trainAlone } from './run-alone.ts';

const name = 'Pendulum-v1';
const critic = { architecture: 'mlp-standard', hiddenSizes: [8] };
const sizes = { actorHiddenSizes: [8], batchSize: 8 };
const config = {
  stepCount: 1500,
  warmUpStepCount: 300,
  batchSize: sizes.batchSize,
  evaluationInterval: 10_000,
  evaluationEpisodeCount: 1,
  replayCapacity: 2000,
  seed: 1,
  checkpointInterval: 10_000,
};

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'divergence-test-'));
});
afterAll(() => rm(scratch, { recursive: true }));

type Warning = { readonly step: number; readonly targetMean: number; readonly largest: number };

type Rates = Pick<SacConfig, 'criticLearningRate' | 'tau'> &
  Partial<Pick<SacConfig, 'temperature' | 'alphaLearningRate'>>;

const healthy = { criticLearningRate: 1e-3, tau: 0.005 };

const rewarded = (env: Env, factor: number): Env => ({
  ...env,
  step(action) {
    const result = env.step(action);
    return { ...result, reward: factor * result.reward };
  },
});

async function warningsOf(algorithm: 'td3' | 'sac', rates: Rates, rewardFactor = 1) {
  const [env, evaluationEnv] = [rewarded(await createEnvironment(name), rewardFactor), await createEnvironment(name)];
  const options = { specs: env.specs, engine: createTracedEngine({ threadCount: 1 }), seed: 1 };
  const settings = { ...sizes, ...rates };
  const learner =
    algorithm === 'td3'
      ? createTd3Learner({ ...options, config: { ...td3Defaults(critic), ...settings } })
      : createSacLearner({ ...options, config: { ...sacDefaults(critic, name), ...settings } });
  const runDirectory = await mkdtemp(join(scratch, algorithm));
  const warnings: (Warning & { readonly message: string })[] = [];
  const log = {
    info() {},
    warn: (fields: object, message: string) => warnings.push({ ...(fields as Warning), message }),
  };
  await trainAlone({ env, evaluationEnv, learner, config, runDirectory, log });
  const targetMeans = (await readMetrics(runDirectory)).flatMap(({ step, targetMean }) =>
    targetMean === undefined ? [] : [{ step, targetMean }],
  );
  for (const part of [env, evaluationEnv, learner]) part.dispose();
  return { warnings, targetMeans };
}

test.each(['td3', 'sac'] as const)(
  '%s: once, at the first mean target that no rewards add up to',
  async (algorithm) => {
    const { warnings, targetMeans } = await warningsOf(algorithm, { criticLearningRate: 1, tau: 1 });
    expect(warnings).toHaveLength(1);
    const [{ step, targetMean, largest, message }] = warnings as [Warning & { message: string }];
    expect(message).toMatch(/the critics diverge: .*--critic-lr/);
    expect(Math.abs(targetMean)).toBeGreaterThan(2 * largest);
    // Pendulum's rewards reach -16.3; a reward of 1 in each step adds up to 100.
    expect(largest).toBeGreaterThan(500);
    const first = targetMeans.find((record) => Math.abs(record.targetMean) > 2 * largest);
    expect(step).toBe(first?.step);
  },
);

test.each(['td3', 'sac'] as const)('%s: not while it learns', async (algorithm) => {
  const { warnings, targetMeans } = await warningsOf(algorithm, healthy);
  expect(targetMeans.length).toBeGreaterThan(10);
  expect(warnings).toEqual([]);
});

test('not for the values that critics begin with, however small rewards are', async () => {
  const { warnings, targetMeans } = await warningsOf('td3', healthy, 1e-6);
  // The largest is 1.63e-5 a step.
  expect(Math.abs(targetMeans[0]!.targetMean)).toBeGreaterThan(2 * 1.63e-3);
  expect(warnings).toEqual([]);
});

test('not for values of an entropy that is less by now', async () => {
  const temperature = { temperature: 'learned', alphaLearningRate: 1e-2 } as const;
  const { warnings } = await warningsOf('sac', { ...healthy, ...temperature }, 1e-6);
  expect(warnings).toEqual([]);
});
