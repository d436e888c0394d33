/** Policies trained for seconds on the point robot, published, and driven over gRPC by an environment's client, which adapts them: they earn what the trainer's own evaluation says. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { driveTask, taskSeeds } from '../../../../clients/cli/adapted-episodes.ts';
import { driveEpisode } from '../../../../clients/cli/episodes.ts';
import { createEnvironment } from '../../../../src/envs/registry.ts';
import { latentSeed } from '../../../../trainer/algorithms/pearl/evaluation.ts';
import { evaluationSeedOffset } from '../../../../trainer/algorithms/pearl/parts.ts';
import { runTasks } from '../../../../trainer/algorithms/pearl/tasks.ts';
import { episodeSeed } from '../../../../trainer/rollout/rows.ts';
import type { GivenConfig } from '../../../../trainer/run/config.ts';
import { train } from '../../../../trainer/train.ts';
import { startTestServer } from '../../../server/fixtures.ts';
import { expectAdaptsAsServed } from '../../rollout/adapts-as-served.ts';

const scratch = await mkdtemp(join(tmpdir(), 'pearl-serving-test-'));
afterAll(() => rm(scratch, { recursive: true }));

const settings = {
  hyper: { trunkSizes: [12], dynamicHiddenSizes: [10] },
  hiddenSizes: [16],
  latentSize: 3,
  trainTaskCount: 4,
  taskCount: 2,
  initialStepCount: 40,
  priorStepCount: 40,
  posteriorStepCount: 20,
  updateCount: 60,
  metaBatchSize: 2,
  batchSize: 16,
  contextBatchSize: 12,
  replayCapacity: 500,
  contextCapacity: 100,
  policyLearningRate: 3e-3,
  encoderLearningRate: 3e-3,
};
const gru = { architecture: 'pearl-gru-encoder', hiddenSizes: [12] } as const;
const seed = 3;

/** A run of two iterations, whose last model is published as "m". */
async function trained(agent: string, more: object) {
  const runDirectory = join(scratch, JSON.stringify([agent, more]).replaceAll(/\W+/g, '-'));
  const store = join(runDirectory, 'store');
  const { run } = await train({
    config: {
      environment: 'Point-Robot',
      algorithm: { name: 'pearl', agent, ...settings, ...more } as GivenConfig & { readonly name: string },
      loop: { iterationCount: 2, seed, evaluationTaskCount: 2, evaluationEpisodeCount: 2, evaluationInterval: 2 },
      threadCount: 1,
      publish: { store, model: 'm', which: 'last' as const },
    },
    runDirectory,
    stream: { write: () => true },
  });
  return { run, store };
}

test.each([
  ['hyper-pearl', { encoder: { architecture: 'pearl-encoder', hiddenSizes: [12] }, encodesNextObservation: true }],
  ['pearl', { encoder: { architecture: 'pearl-encoder', hiddenSizes: [12], aggregation: 'mean' } }],
  ['hyper-pearl', { encoder: gru }],
] as const)(
  '%s, %j: a client that adapts within two episodes and goes on adapting earns the returns of the trainer; in process the package acts the same',
  async (agent, more) => {
    const { run, store } = await trained(agent, more);
    const { client } = await startTestServer([], { store });
    const { fingerprint, readsNextObservation, adaptation, adaptationEpisodeCount } = await client.getModel({
      model: 'm',
    });
    expect(adaptation).toBe('posterior');
    expect(readsNextObservation).toBe('encodesNextObservation' in more);
    expect(adaptationEpisodeCount).toBe(2);
    const env = await createEnvironment('Point-Robot');
    const { test: tasks } = await runTasks(env.tasks!, {}, { seed, testTaskCount: 2 });
    const evaluationSeed = seed + evaluationSeedOffset;
    const returns = { before: [] as number[], after: [] as number[] };
    for (const [task, context] of tasks.entries()) {
      const { before, after, steps } = await driveTask(
        client,
        env,
        { model: 'm', version: 1, fingerprint, adaptation: 'posterior', readsNextObservation, takesContext: false },
        {
          context,
          beforeCount: 2,
          afterCount: 2,
          seeds: {
            ...taskSeeds(0),
            start: (episode) => episodeSeed(evaluationSeed, task, episode * (env.episodeStepCountMax + 1)),
            latent: (episode) => latentSeed(evaluationSeed, task, episode),
          },
        },
      );
      expect(steps).toBe(4 * 20);
      returns.before.push(mean(before));
      returns.after.push(mean(after));
    }
    expect(run.evaluations.at(-1)!.before!.meanReturn).toBeCloseTo(mean(returns.before), 3);
    expect(run.results.testReturn).toBeCloseTo(mean(returns.after), 3);
    expect(returns.after[0]).not.toBe(returns.after[1]);
    env.dispose();
    await expectAdaptsAsServed(client, store, 'm');
  },
  240_000,
);

test.each([
  ['oracle-context', { networks: 'hyper' }],
  ['oracle-context', { networks: 'mlp' }],
  ['no-context', { trainRange: [-0.5, 0.5, 0.5, 1] }],
] as const)(
  '%s, %j: a client that gives the task, or nothing, earns the returns of the trainer',
  async (agent, more) => {
    const { run, store } = await trained(agent, more);
    const { client } = await startTestServer([], { store });
    const { fingerprint, adaptation, context, taskRange } = await client.getModel({ model: 'm' });
    expect([adaptation, context?.source]).toEqual(['', agent === 'no-context' ? undefined : 'oracle']);
    expect(taskRange).toEqual(
      'trainRange' in more ? expect.objectContaining({ low: [-0.5, 0.5], high: [0.5, 1] }) : undefined,
    );
    const env = await createEnvironment('Point-Robot');
    const ranges = 'trainRange' in more ? { trainRange: [...more.trainRange] } : {};
    const { test: tasks } = await runTasks(env.tasks!, ranges, { seed, testTaskCount: 2 });
    const model = { model: 'm', version: 1, fingerprint, takesContext: context !== undefined };
    const returns = [];
    for (const task of tasks) {
      // All starts are equal, and so are the episodes of a task.
      returns.push((await driveEpisode(client, env, model, { seed: 0, context: task })).return);
    }
    env.dispose();
    expect(run.results.testReturn).toBeCloseTo(mean(returns), 3);
  },
  240_000,
);

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
