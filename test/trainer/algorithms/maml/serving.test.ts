/** A policy trained for seconds on the point robot, published, and adapted over gRPC: as the trainer adapts it. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type AdaptingModel, driveTask, type TaskSeeds, taskSeeds } from '../../../../clients/cli/adapted-episodes.ts';
import type { PolicyClient } from '../../../../clients/typescript/client.ts';
import { policyGradientCoefficients } from '../../../../src/advantages/policy-gradient.ts';
import { normalRow } from '../../../../src/contract/random.ts';
import { runToEnd } from '../../../../src/contract/sliced.ts';
import type { PolicySpecs } from '../../../../src/contract/tensor-spec.ts';
import { createEnvironment } from '../../../../src/envs/registry.ts';
import { type MamlConfig, mamlDefaults } from '../../../../trainer/algorithms/maml/config.ts';
import { createMamlLearner, type MamlLearner } from '../../../../trainer/algorithms/maml/learner.ts';
import { mamlModel } from '../../../../trainer/algorithms/maml/model.ts';
import { createSampler, type Sampler } from '../../../../trainer/algorithms/maml/sampler.ts';
import { createTaskArrays, type StepArrays } from '../../../../trainer/algorithms/maml/steps.ts';
import { type ActionNoise, createTaskPolicies } from '../../../../trainer/algorithms/maml/task-policies.ts';
import { publishModel } from '../../../../trainer/export/package.ts';
import { episodeSeed } from '../../../../trainer/rollout/rows.ts';
import { startTestServer, temporaryStore } from '../../../server/fixtures.ts';
import { expectAdaptsAsServed } from '../../rollout/adapts-as-served.ts';
import { noNoise, tracedEngine } from './fixture.ts';

const episodeCount = 3;
const episodeStepCount = 20;
const stepCount = episodeStepCount * episodeCount;
/** Bound of the point robot's action. */
const actionMax = 0.1;
const hyper = { trunkSizes: [16], dynamicHiddenSizes: [12] };

const configs: Record<string, MamlConfig> = {
  maml: { ...mamlDefaults('maml'), hiddenSizes: [16] },
  'context-maml': { ...mamlDefaults('context-maml'), hiddenSizes: [16] },
  'hyper-maml': { ...mamlDefaults('hyper-maml'), hyper, rate: { start: 0.01, learnt: 'no' } },
  'hyper-maml with low-rank heads and two steps at learnt rates': {
    ...mamlDefaults('hyper-maml'),
    hyper: { ...hyper, headRank: 4 },
    inner: { stepCount: 2, order: 'second' },
    rate: { start: 0.01, learnt: 'per-value' },
  },
};

/** A client's episodes in one task: 20, 13 and 20 steps. */
const lengths = [20, 13, 20];

describe.each(Object.keys(configs))('%s', (name) => {
  const config: MamlConfig = { ...configs[name]!, taskCount: 4, episodeCount };
  let learner: MamlLearner;
  let sampler: Sampler;
  let specs: PolicySpecs;
  beforeAll(async () => {
    const env = await createEnvironment('Point-Robot');
    const { episodeStepCountMax } = env;
    specs = env.specs;
    const tasks = env.tasks!;
    env.dispose();
    const contexts = tasks.sample({ split: 'train', seed: 1, count: config.taskCount });
    learner = createMamlLearner({ config, specs, tasks, engine: tracedEngine, seed: 2, episodeStepCountMax });
    sampler = await createSampler({ env: 'Point-Robot', contexts, episodeCount, seed: 2, threadCount: 1 });
    const untrained = learner.flat.slice();
    for (let i = 0; i < 3; i++) runToEnd(learner.iterate(sampler, contexts, i));
    expect(learner.flat).not.toEqual(untrained);
  });
  afterAll(async () => {
    learner.dispose();
    await sampler.dispose();
  });

  async function publishAndServe() {
    const store = await temporaryStore();
    await publishModel({
      ...mamlModel(learner.networks, config, learner.parameters),
      store,
      model: 'maml',
      algorithm: 'maml',
      environment: 'Point-Robot',
      specs,
      training: { config: {}, seed: 2, steps: 3, evaluations: [], sourceRevision: 'unknown' },
      engine: tracedEngine,
    });
    return { store, ...(await startTestServer([], { store })) };
  }

  test('the served adaptation is the one in process, and a client acts with it', async () => {
    const { client } = await publishAndServe();
    const goal = Float32Array.of(0.6, 0.8);
    const context = learner.networks.contextSize > 0 ? { context: [...goal] } : {};
    const asked = { model: 'maml', observation: { shape: [2, 2], values: Float32Array.of(0, 0, 0.3, -0.2) } };
    const before = await client.act({ ...asked, ...context });
    const experience = await episodes((observation, seed) =>
      client.act({
        model: 'maml',
        observation: { shape: [1, 2], values: observation },
        ...context,
        sample: true,
        seed,
      }),
    );
    const { contextHandle, weights } = await client.adapt({
      model: 'maml',
      observation: { shape: [experience.reward.length, 2], values: experience.observation },
      action: { shape: [experience.reward.length, 2], values: experience.action },
      reward: experience.reward,
      episodeLengths: lengths,
      ...context,
    });
    expect(weights!.stepNorm).toBeGreaterThan(1e-3);
    const after = await client.act({ ...asked, contextHandle });

    const policies = createTaskPolicies({
      engine: tracedEngine,
      networks: learner.networks,
      config,
      parameters: learner.parameters,
      shapes: learner.shapes,
      taskCount: 1,
      episodeCount: 2,
      stepCount,
      seed: 0,
      noise: noNoise,
    });
    const act = () => {
      const actions = new Float32Array(4);
      policies.act(asked.observation.values, new Float64Array(4), actions);
      return actions.map((value) => Math.min(Math.max(value, -actionMax), actionMax));
    };
    policies.start([goal]);
    expectClose(before.action.values, act());
    policies.adapt(0, goal, stepArrays(experience));
    expectClose(after.action.values, act());
    // Clipped ones would be equal in any case.
    expect([...after.action.values].some((value) => Math.abs(value) < 0.99 * actionMax)).toBe(true);
    policies.dispose();
    expect(after.action.values).not.toEqual(before.action.values);
  });

  test('an environment that is driven through the server earns the returns of the trainer, before adaptation and after it', async () => {
    const { client } = await publishAndServe();
    const tasks = [
      [0.6, 0.8],
      [-1, 0],
    ];
    const evaluationSeed = 9;
    const seedsOf = (task: number) => withSmallNoise(taskSeeds(100 + task));
    const noise = servedNoise({
      taskCount: tasks.length,
      actionSeed: (task, ...step) => seedsOf(task).action(...step),
    });
    const evaluator = learner.createEvaluator({ taskCount: tasks.length, episodeCount, seed: 0, noise });
    const shared = { env: 'Point-Robot', contexts: tasks, episodeCount, seed: evaluationSeed, threadCount: 1 };
    const testSampler = await createSampler(shared);
    const { pre, post } = runToEnd(evaluator.evaluate(testSampler, tasks, 0));
    await testSampler.dispose();
    evaluator.dispose();

    const model = adaptingModel(await client.getModel({ model: 'maml' }));
    const env = await createEnvironment('Point-Robot');
    for (const [task, context] of tasks.entries()) {
      const start = (episode: number) => {
        const set = Math.floor(episode / episodeCount);
        return episodeSeed(
          evaluationSeed,
          task * episodeCount + (episode % episodeCount),
          set * (episodeStepCount + 1),
        );
      };
      const seeds = { ...seedsOf(task), start };
      const counts = { beforeCount: episodeCount, afterCount: episodeCount };
      const { before, after, steps } = await driveTask(client, env, model, { context, seeds, ...counts });
      expect(steps).toBe(2 * stepCount);
      expect(mean(before)).toBeCloseTo(pre.returns[task]!, 3);
      expect(mean(after)).toBeCloseTo(post.returns[task]!, 3);
    }
    env.dispose();
  });

  test('the package in process acts and adapts as it does in a server', async () => {
    const { client, store } = await publishAndServe();
    await expectAdaptsAsServed(client, store, 'maml');
  });

  test('a handle is acted with, and not adapted further', async () => {
    const { client } = await publishAndServe();
    const context = learner.networks.contextSize > 0 ? { context: [1, 0] } : {};
    const steps = {
      model: 'maml',
      observation: { shape: [2, 2], values: Float32Array.of(0, 0, 0.1, 0.1) },
      action: { shape: [2, 2], values: Float32Array.of(0.1, 0, 0, 0.05) },
      reward: Float32Array.of(-1, -0.5),
    };
    const { contextHandle } = await client.adapt({ ...steps, ...context });
    await expect(client.adapt({ ...steps, contextHandle })).rejects.toThrow(
      'Adapt context_handle: expected none: model "maml" adapts from its own parameters, got one',
    );
  });
});

/** Noise that takes no action beyond its bounds: a server clips, the trainer does not. */
const withSmallNoise = (seeds: TaskSeeds): TaskSeeds => ({
  ...seeds,
  action(episode, step) {
    const noise = new Float32Array(2);
    let seed = seeds.action(episode, step);
    do normalRow(++seed, 0, 2, noise);
    while (noise.some((value) => Math.abs(value) > 0.25));
    return seed;
  },
});

/** The noise of the server's samples, for rows of tasks x episodes: those before adaptation are the first steps. */
function servedNoise({
  taskCount,
  actionSeed,
}: {
  readonly taskCount: number;
  readonly actionSeed: (task: number, episode: number, step: number) => number;
}): ActionNoise {
  let position = 0;
  return {
    seek(next) {
      position = next;
    },
    fill(rows) {
      const [set, step] = [Math.floor(position / episodeStepCount), position % episodeStepCount];
      for (let row = 0; row < taskCount * episodeCount; row++) {
        const episode = set * episodeCount + (row % episodeCount);
        normalRow(actionSeed(Math.floor(row / episodeCount), episode, step), 0, 2, rows, 2 * row);
      }
      position++;
    },
  };
}

function adaptingModel(described: Awaited<ReturnType<PolicyClient['getModel']>>): AdaptingModel {
  const { model, version, fingerprint, adaptation, readsNextObservation, context } = described;
  expect(adaptation).toBe('weights');
  return {
    model,
    version,
    fingerprint,
    adaptation: 'weights',
    readsNextObservation,
    takesContext: context !== undefined,
  };
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

type Experience = { observation: Float32Array; action: Float32Array; reward: Float32Array };

/** Plays the episodes with what acts. */
async function episodes(
  act: (observation: Float32Array, seed: number) => Promise<{ action: { values: Float32Array } }>,
): Promise<Experience> {
  const env = await createEnvironment('Point-Robot');
  const kept = { observation: [] as number[], action: [] as number[], reward: [] as number[] };
  for (const [episode, length] of lengths.entries()) {
    let observation = Float32Array.from(env.reset(episode, { context: [0.6, 0.8] }).observation);
    for (let step = 0; step < length; step++) {
      const { values } = (await act(observation, 100 * episode + step)).action;
      const result = env.step(values);
      kept.observation.push(...observation);
      kept.action.push(...values);
      kept.reward.push(result.reward);
      observation = Float32Array.from(result.observation);
    }
  }
  env.dispose();
  return {
    observation: Float32Array.from(kept.observation),
    action: Float32Array.from(kept.action),
    reward: Float32Array.from(kept.reward),
  };
}

function stepArrays({ observation, action, reward }: Experience): StepArrays {
  const arrays = createTaskArrays({ observationSize: 2, actionSize: 2 }, stepCount).pre;
  arrays.observation.set(observation);
  arrays.action.set(action);
  const config = { discount: 0.95, lambda: 1, weighting: 'steps' } as const;
  arrays.coefficient.set(runToEnd(policyGradientCoefficients({ observation, reward, lengths }, config)));
  return arrays;
}

/** Relative to the bound of the point robot's action. */
function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  expect(actual.length).toBe(expected.length);
  Array.from(expected).forEach((value, i) => {
    expect(Math.abs(actual[i]! - value) / actionMax).toBeLessThan(1e-5);
  });
}
