/** A policy trained for seconds on the point robot, published, and adapted over gRPC by an environment's client: it earns what the trainer's own evaluation says. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { createEnvironment } from '../../../../src/envs/registry.ts';
import { latentSeed } from '../../../../trainer/algorithms/pearl/evaluation.ts';
import { evaluationSeedOffset } from '../../../../trainer/algorithms/pearl/parts.ts';
import { runTasks } from '../../../../trainer/algorithms/pearl/tasks.ts';
import { episodeSeed } from '../../../../trainer/rollout/rows.ts';
import type { GivenConfig } from '../../../../trainer/run/config.ts';
import { train } from '../../../../trainer/train.ts';
import { startTestServer } from '../../../server/fixtures.ts';

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

test.each([
  ['hyper-pearl', { encoder: { architecture: 'pearl-encoder', hiddenSizes: [12] }, encodesNextObservation: true }],
  ['pearl', { encoder: { architecture: 'pearl-encoder', hiddenSizes: [12], aggregation: 'mean' } }],
  ['hyper-pearl', { encoder: gru }],
] as const)(
  '%s, %j: a client that adapts within two episodes earns the return of the trainer',
  async (agent, more) => {
    const runDirectory = join(scratch, JSON.stringify([agent, more]).replaceAll(/\W+/g, '-'));
    const store = join(runDirectory, 'store');
    const { run } = await train({
      config: {
        environment: 'Point-Robot',
        algorithm: { name: 'pearl', agent, ...settings, ...more } as GivenConfig & { readonly name: string },
        loop: { iterationCount: 2, seed, evaluationTaskCount: 2, evaluationInterval: 2 },
        threadCount: 1,
        publish: { store, model: 'm', which: 'last' as const },
      },
      runDirectory,
      stream: { write: () => true },
    });
    const { client } = await startTestServer([], { store });
    const { readsNextObservation, adaptation } = await client.getModel({ model: 'm' });
    expect(adaptation).toBe('posterior');
    expect(readsNextObservation).toBe('encodesNextObservation' in more);
    const env = await createEnvironment('Point-Robot');
    const { test: tasks } = await runTasks(env.tasks!, {}, { seed, testTaskCount: 2 });
    const evaluationSeed = seed + evaluationSeedOffset;
    const returns: number[] = [];
    for (const [task, context] of tasks.entries()) {
      let known: string | undefined;
      for (let episode = 0; episode < 3; episode++) {
        const z = latentSeed(evaluationSeed, task, episode);
        // Two episodes with z of the prior, the last with z of the posterior of both.
        const from = episode < 2 || known === undefined ? {} : { contextHandle: known };
        const { contextHandle } = await client.adapt({ model: 'm', ...from, seed: z });
        const start = episodeSeed(evaluationSeed, task, episode * (env.episodeStepCountMax + 1));
        const played = await play(env.reset(start, { context }).observation, contextHandle);
        const adapted = await client.adapt({
          model: 'm',
          ...(known !== undefined && { contextHandle: known }),
          observation: { shape: [20, 2], values: Float32Array.from(played.observation) },
          action: { shape: [20, 2], values: Float32Array.from(played.action) },
          reward: Float32Array.from(played.reward),
          ...(readsNextObservation && {
            nextObservation: { shape: [20, 2], values: Float32Array.from(played.nextObservation) },
          }),
        });
        known = adapted.contextHandle;
        expect(adapted.posterior!.transitionCount).toBe(20 * (episode + 1));
        if (episode === 2) returns.push(played.reward.reduce((sum, reward) => sum + reward, 0));
      }
    }
    expect(run.results.testReturn).toBeCloseTo((returns[0]! + returns[1]!) / 2, 3);
    expect(returns[0]).not.toBe(returns[1]);
    env.dispose();

    async function play(first: ArrayLike<number>, contextHandle: string) {
      const kept = {
        observation: [] as number[],
        action: [] as number[],
        reward: [] as number[],
        nextObservation: [] as number[],
      };
      let observation = Float32Array.from(first);
      for (let ended = false; !ended; ) {
        const { values } = (await client.act({ model: 'm', observation, contextHandle })).action;
        const step = env.step(values);
        kept.observation.push(...observation);
        kept.action.push(...values);
        kept.reward.push(step.reward);
        observation = Float32Array.from(step.observation);
        kept.nextObservation.push(...observation);
        ended = step.terminated || step.truncated;
      }
      return kept;
    }
  },
  240_000,
);
