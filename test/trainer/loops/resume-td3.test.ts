import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { td3Defaults } from '../../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import type { OffPolicyConfig } from '../../../trainer/loops/off-policy-config.ts';
import { loadNewestCheckpoint } from '../../../trainer/run/checkpoint.ts';
import { readMetrics } from '../../../trainer/run/metrics.ts';
import { splitParts } from '../../../trainer/run/parts.ts';
import { type AloneOptions, trainAlone } from './run-alone.ts';

const config: OffPolicyConfig = {
  stepCount: 1300,
  warmUpStepCount: 300,
  batchSize: 16,
  evaluationInterval: 500,
  evaluationEpisodeCount: 1,
  replayCapacity: 1000,
  seed: 1,
  checkpointInterval: 10_000,
};

test.each([1, 24])(
  'TD3 with a hypernetwork critic, %i updates in a run, stopped and resumed with a new learner, equals the uninterrupted run bit for bit',
  async (updatesPerRun) => {
    const scratch = await mkdtemp(join(tmpdir(), 'resume-td3-test-'));
    const env = await createEnvironment('HalfCheetah-v5');
    const evaluationEnv = await createEnvironment('HalfCheetah-v5');
    try {
      const run = async (runDirectory: string, options: Partial<AloneOptions>) => {
        const critic = { architecture: 'sa-hyper', trunkSizes: [8, 8, 16], dynamicHiddenSizes: [16] };
        const learner = createTd3Learner({
          config: { ...td3Defaults(critic), actorHiddenSizes: [16], batchSize: config.batchSize },
          specs: env.specs,
          engine: createTracedEngine({ threadCount: 1 }),
          seed: config.seed,
          updatesPerRun,
        });
        const settings = { ...config, updatesPerRun };
        await trainAlone({ env, evaluationEnv, learner, config: settings, runDirectory, ...options });
        learner.dispose();
        const checkpoint = await loadNewestCheckpoint(join(runDirectory, 'checkpoints'));
        const records = readMetrics(runDirectory).map(({ seconds: _, ...metrics }) => metrics);
        return { checkpoint: checkpoint!, records };
      };
      const whole = await run(join(scratch, 'whole'), {});
      const controller = new AbortController();
      const report = (step: number) => step >= 801 && controller.abort();
      let time = 0;
      const now = () => {
        time += 1; // a turn of the event loop, and so a look at the signal, every 50 readings
        return time;
      };
      const stopped = await run(join(scratch, 'stopped'), {
        signal: controller.signal,
        now,
        reporter: { report, print: () => {} },
      });
      expect(stopped.checkpoint.step).toBeGreaterThan(800);
      expect(stopped.checkpoint.step).toBeLessThan(1300);
      const resumed = await run(join(scratch, 'stopped'), { resume: true });
      expect(resumed.records).toEqual(whole.records);
      expect(resumed.checkpoint.arrays).toEqual(whole.checkpoint.arrays);
      expect(Object.keys(whole.checkpoint.arrays)).toContain('learner/critic.moment2');
      // 1000 updates are due after the warm-up; 41 runs of 24 are 984.
      const { updateCount } = splitParts(whole.checkpoint, ['learner']).parts.learner.state as { updateCount: number };
      expect(updateCount).toBe(updatesPerRun === 1 ? 1000 : 984);
      const ofUpdates = whole.records.filter((record) => 'criticLoss' in record);
      expect(ofUpdates).toHaveLength(updatesPerRun === 1 ? 10 : 9);
      for (const record of ofUpdates) expect(record.updatesPerRun).toBe(updatesPerRun === 1 ? undefined : 24);
      expect(whole.records.at(-1)).toHaveProperty('evaluationReturn');
    } finally {
      env.dispose();
      evaluationEnv.dispose();
      await rm(scratch, { recursive: true });
    }
  },
  180_000,
);
