/** Policies on tasks, from training to a server: the served policy earns what the learner earns, on tasks that it never met. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createEnvironment } from '../../src/envs/registry.ts';
import { readPackage } from '../../src/package/package.ts';
import type { SacConfig } from '../../trainer/algorithms/sac/config.ts';
import { createSacLearner } from '../../trainer/algorithms/sac/learner.ts';
import type { Td3Config } from '../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../trainer/algorithms/td3/learner.ts';
import { createTracedEngine } from '../../trainer/engine/traced.ts';
import { loadNewestCheckpoint } from '../../trainer/run/checkpoint.ts';
import { splitParts } from '../../trainer/run/parts.ts';
import { readRunConfig } from '../../trainer/run/run-directory.ts';
import { train } from '../../trainer/train.ts';
import { startTestServer } from '../server/fixtures.ts';

const scratch = await mkdtemp(join(tmpdir(), 'tasks-test-'));
afterAll(() => rm(scratch, { recursive: true }));

const learners = { td3: createTd3Learner, sac: createSacLearner };
type Name = keyof typeof learners;

const small = { trunkSizes: [16], dynamicHiddenSizes: [16, 8] };

const trainOn = (environment: string, name: Name, settings: object, loop: object = {}) => {
  const runDirectory = join(scratch, `${name}-${JSON.stringify(settings).replaceAll(/\W+/g, '-')}-${environment}`);
  const config = {
    environment,
    algorithm: {
      name,
      critic: { architecture: 'mlp-standard', hiddenSizes: [32, 32] },
      actorHiddenSizes: [32, 32],
      hyperPolicy: small,
      batchSize: 32,
      ...settings,
    },
    loop: { stepCount: 200, warmUpStepCount: 60, evaluationInterval: 100, evaluationEpisodeCount: 3, ...loop },
    threadCount: 1,
    publish: { store: join(runDirectory, 'store'), model: 'm', which: 'last' as const },
  };
  return train({ config, runDirectory, stream: { write: () => true } }).then((result) => ({ ...result, runDirectory }));
};

/** The learner of a run's end, in this process. */
async function learnerOf(runDirectory: string, name: Name) {
  const { algorithm, environment } = readRunConfig(runDirectory) as unknown as {
    algorithm: { name: string };
    environment: string;
  };
  const env = await createEnvironment(environment);
  const { name: _, ...config } = algorithm;
  const options = { specs: env.specs, tasks: env.tasks, engine: createTracedEngine({ threadCount: 1 }), seed: 9 };
  const learner =
    name === 'td3'
      ? learners.td3({ ...options, config: config as unknown as Td3Config })
      : learners.sac({ ...options, config: config as unknown as SacConfig });
  const checkpoint = await loadNewestCheckpoint(join(runDirectory, 'checkpoints'));
  learner.restore(splitParts(checkpoint!, ['learner']).parts.learner);
  return { env, learner };
}

describe.each(['td3', 'sac'] as const)('%s', (name) => {
  test.each([
    { policy: 'hyper' },
    { policy: 'hyper', hyperPolicy: { ...small, initialisation: 'hfi', trunkLayerNorm: true } },
    { policy: 'hyper', hyperPolicy: { ...small, initialisation: 'default', dynamicDense: true, headRank: 2 } },
    { policy: 'context-mlp' },
    { policy: 'mlp' },
  ] as const)('%j: served returns equal those in process', async (settings) => {
    const { policy } = settings;
    const { published, run, runDirectory } = await trainOn('Point-Robot', name, settings);
    expect(run.results.evaluationReturn).toBeLessThan(0);
    const { manifest } = await readPackage(published!.directory);
    expect(manifest.policy?.kind).toBe(policy === 'hyper' ? 'hyper' : 'plain');
    expect(manifest.critic).not.toBeNull();
    expect(manifest.training.config).toMatchObject({ algorithm: settings });
    const { client } = await startTestServer([], { store: join(runDirectory, 'store') });
    const { env, learner } = await learnerOf(runDirectory, name);
    const own = new Float32Array(2);
    const returns: { served: number[]; own: number[] } = { served: [], own: [] };
    // Goals on the half circle that no draw of the training range gave, and one off it.
    for (const context of [
      [0.6, 0.8],
      [-0.28, 0.96],
      [0.2, 0.3],
    ]) {
      for (const by of ['served', 'own'] as const) {
        let { observation } = env.reset(5, { context });
        let sum = 0;
        for (let ended = false; !ended; ) {
          const values = Float32Array.from(observation);
          learner.act(values, own, env.context);
          const action =
            by === 'own'
              ? own
              : (await client.act({ model: 'm', observation: values, context: Float32Array.from(context) })).action
                  .values;
          const step = env.step(action);
          sum += step.reward;
          observation = step.observation;
          ended = step.terminated || step.truncated;
        }
        returns[by].push(sum);
      }
    }
    returns.own.forEach((value, i) => {
      expect(returns.served[i]).toBeCloseTo(value, 4);
    });
    expect(new Set(returns.own).size).toBe(3);
    learner.dispose();
    env.dispose();
  });
});

test('a policy that sees the task is answered differently for each; one that does not is not', async () => {
  const actions = async (policy: 'hyper' | 'mlp') => {
    const { runDirectory } = await trainOn('Point-Robot', 'sac', { policy, preset: 'sac' });
    const { env, learner } = await learnerOf(runDirectory, 'sac');
    const out = [new Float32Array(2), new Float32Array(2)];
    learner.act(Float32Array.of(0, 0), out[0]!, Float64Array.of(1, 0));
    learner.act(Float32Array.of(0, 0), out[1]!, Float64Array.of(-1, 0));
    learner.dispose();
    env.dispose();
    return out;
  };
  const [seen, unseen] = [await actions('hyper'), await actions('mlp')];
  expect(seen[0]).not.toEqual(seen[1]);
  expect(unseen[0]).toEqual(unseen[1]);
});

test('tasks out of the training range are evaluated apart, and velocities are normalised by the training range', async () => {
  const loop = { stepCount: 40, warmUpStepCount: 20, evaluationInterval: 20, evaluationEpisodeCount: 2 };
  const { run, published } = await trainOn('HalfCheetah-Vel-Medium', 'td3', { policy: 'hyper' }, loop);
  const { evaluationReturn, outOfRangeReturn } = run.results;
  expect(outOfRangeReturn).toBeLessThan(0);
  expect(outOfRangeReturn).not.toBe(evaluationReturn);
  const { manifest } = await readPackage(published!.directory);
  // Trained on [0, 2.5]: (v - 0) / 2.5, so that 3 m/s is 1.2.
  expect(manifest.normalisation).toEqual({ 'context.shift': [0], 'context.scale': [2.5] });
  const { run: onPlane } = await trainOn('Point-Robot', 'td3', { policy: 'hyper', gamma: 0.9 });
  expect(onPlane.results).not.toHaveProperty('outOfRangeReturn');
});

test('a policy of tasks is refused where there are none', async () => {
  await expect(trainOn('Pendulum-v1', 'sac', { policy: 'hyper' })).rejects.toThrow(
    'train sac: expected an environment with a context, got "Pendulum-v1", which has none. Leave out --policy',
  );
});
