/** Episodes of all tasks together: the same for any number of threads, a function of the batch's number, and each task's own policy. */

import { afterEach, describe, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import { runToEnd } from '../../../../src/contract/sliced.ts';
import type { PolicySpecs } from '../../../../src/contract/tensor-spec.ts';
import { createEnvironment } from '../../../../src/envs/registry.ts';
import type { TaskDistribution } from '../../../../src/envs/task-distribution.ts';
import { initialise } from '../../../../src/nn/parameters.ts';
import { type MamlConfig, type MamlPolicy, mamlPolicies } from '../../../../trainer/algorithms/maml/config.ts';
import { fillSteps } from '../../../../trainer/algorithms/maml/experience.ts';
import { createMamlLearner } from '../../../../trainer/algorithms/maml/learner.ts';
import { createMetaObjective } from '../../../../trainer/algorithms/maml/meta-objective.ts';
import { createMamlNetworks } from '../../../../trainer/algorithms/maml/networks.ts';
import { createTaskSource } from '../../../../trainer/algorithms/maml/parts.ts';
import { createSampler } from '../../../../trainer/algorithms/maml/sampler.ts';
import { createTaskArrays } from '../../../../trainer/algorithms/maml/steps.ts';
import { createTaskPolicies } from '../../../../trainer/algorithms/maml/task-policies.ts';
import { noNoise, smallConfig, tracedEngine } from './fixture.ts';

const open: { dispose(): unknown }[] = [];
afterEach(async () => {
  for (const item of open.splice(0).reverse()) await item.dispose();
});
const keep = <T extends { dispose(): unknown }>(item: T): T => {
  open.push(item);
  return item;
};

const taskCount = 3;
const episodeCount = 2;

async function setup(envName: string, policy: MamlPolicy, threadCount: number) {
  const env = await createEnvironment(envName);
  const { specs, episodeStepCountMax } = env;
  const tasks = env.tasks!;
  env.dispose();
  const config: MamlConfig = { ...smallConfig(policy), taskCount, episodeCount };
  const contexts = tasks.sample({ split: 'train', seed: 4, count: taskCount });
  const sampler = keep(await createSampler({ env: envName, contexts, episodeCount, seed: 9, threadCount }));
  const made = policies(config, specs, tasks, episodeCount * episodeStepCountMax);
  return { config, contexts, sampler, episodeStepCountMax, ...made };
}

function policies(config: MamlConfig, specs: PolicySpecs, tasks: TaskDistribution, stepCount: number) {
  const networks = createMamlNetworks(config, specs, tasks);
  const objective = keep(createMetaObjective({ engine: tracedEngine, networks, config, stepCount }));
  initialise(objective.specs, objective.parameters, createRandom(1));
  const { parameters, shapes } = objective;
  const shared = { engine: tracedEngine, networks, config, parameters, shapes, stepCount, seed: 9 };
  const created = keep(createTaskPolicies({ ...shared, taskCount, episodeCount }));
  const arrays = () => Array.from({ length: taskCount }, () => createTaskArrays(networks, stepCount).pre);
  return { networks, policies: created, arrays, shared };
}

/** Episodes before adaptation and after it, with what the tasks learnt from them. */
async function bothBatches(envName: string, policy: MamlPolicy, threadCount: number) {
  const { sampler, policies: acting, contexts, arrays, config } = await setup(envName, policy, threadCount);
  acting.start(contexts);
  const pre = runToEnd(sampler.collect(acting, contexts, 0));
  const steps = arrays();
  fillSteps(pre, steps, config.advantages);
  if (policy !== 'multi-task-hyper') {
    for (const [task, context] of contexts.entries()) acting.adapt(task, context, steps[task]!);
  }
  const post = runToEnd(sampler.collect(acting, contexts, 1));
  return { pre, post, steps };
}

describe.each(['Point-Robot', 'Ant-Vel'])('trajectories in %s', (envName) => {
  test('are the same for one thread and for three', async () => {
    const [one, three] = [await bothBatches(envName, 'hyper-maml', 1), await bothBatches(envName, 'hyper-maml', 3)];
    expect(three).toEqual(one);
    expect(one.post.actions).not.toEqual(one.pre.actions);
  }, 240_000);

  test('are a function of the number of the batch, whatever ran before', async () => {
    const { sampler, policies: acting, contexts } = await setup(envName, 'context-maml', 2);
    acting.start(contexts);
    const seventh = runToEnd(sampler.collect(acting, contexts, 7));
    const second = runToEnd(sampler.collect(acting, contexts, 2));
    expect(runToEnd(sampler.collect(acting, contexts, 7))).toEqual(seventh);
    expect(second.actions).not.toEqual(seventh.actions);
  });
});

test.each(mamlPolicies)('each task of %s acts with its own adapted weights, as it would alone', async (policy) => {
  const { policies: acting, shared, contexts, sampler, arrays, config } = await setup('Point-Robot', policy, 1);
  acting.start(contexts);
  const steps = arrays();
  fillSteps(runToEnd(sampler.collect(acting, contexts, 0)), steps, config.advantages);
  const adapts = policy !== 'multi-task-hyper';
  // The middle task stays as it was.
  if (adapts) for (const task of [0, 2]) acting.adapt(task, contexts[task]!, steps[task]!);
  const observations = Float32Array.from({ length: taskCount * episodeCount * 2 }, (_, i) => 0.3 * Math.sin(i + 1));
  const actions = new Float32Array(taskCount * episodeCount * 2);
  const still = { ...shared, noise: noNoise };
  const together = keep(createTaskPolicies({ ...still, taskCount, episodeCount }));
  together.start(contexts);
  if (adapts) for (const task of [0, 2]) together.adapt(task, contexts[task]!, steps[task]!);
  together.act(observations, new Float64Array(0), actions);
  const alone = keep(createTaskPolicies({ ...still, taskCount: 1, episodeCount }));
  for (let task = 0; task < taskCount; task++) {
    alone.start([contexts[task]!]);
    if (adapts && task !== 1) alone.adapt(0, contexts[task]!, steps[task]!);
    const rows = [task * episodeCount * 2, (task + 1) * episodeCount * 2] as const;
    const own = new Float32Array(episodeCount * 2);
    alone.act(observations.subarray(...rows), new Float64Array(0), own);
    own.forEach((value, i) => {
      expect(Math.abs(value - actions[rows[0] + i]!)).toBeLessThan(1e-6);
    });
  }
});

test('of each row the first episode is kept, without a step that diverged, and absent steps weigh nothing', async () => {
  const { sampler, policies: acting, contexts, arrays, config } = await setup('Point-Robot', 'maml', 1);
  acting.start(contexts);
  const rollout = runToEnd(sampler.collect(acting, contexts, 0));
  // Row 1 ends after 5 steps and begins another; row 2 diverges in its 4th.
  const episodes = [
    { row: 1, step: 4, return: 0, length: 5, diverged: false },
    { row: 2, step: 3, return: 0, length: 4, diverged: true },
    ...rollout.episodes,
  ];
  const steps = arrays();
  const { stepCount, returns } = fillSteps({ ...rollout, episodes }, steps, config.advantages);
  expect(stepCount).toBe(20 + 5 + 3 + 20 + 20 + 20);
  const [first, second] = steps;
  // Task 0: rows 0 and 1, below each other; row 1 begins at step 20.
  const at = (step: number, row: number) => [
    ...rollout.actions.subarray((step * 6 + row) * 2, (step * 6 + row) * 2 + 2),
  ];
  expect([...first!.action.subarray(0, 2)]).toEqual(at(0, 0));
  expect([...first!.action.subarray(40, 42)]).toEqual(at(0, 1));
  expect([...first!.action.subarray(48, 50)]).toEqual(at(4, 1));
  expect([...first!.action.subarray(50)]).toEqual(new Array(30).fill(0));
  expect([...first!.weight]).toEqual([...new Array(25).fill(Math.fround(1 / 25)), ...new Array(15).fill(0)]);
  expect([...first!.coefficient.subarray(25)]).toEqual(new Array(15).fill(0));
  expect(second!.weight.filter((weight) => weight > 0)).toHaveLength(23);
  const reward = (row: number, count: number) =>
    Array.from({ length: count }, (_, step) => rollout.rewards[step * 6 + row]!).reduce((sum, value) => sum + value, 0);
  expect(returns[0]).toBeCloseTo((reward(0, 20) + reward(1, 5)) / 2, 4);
});

test('episodes of any length are refused before their steps are allocated, where these do not fit in memory', async () => {
  const env = await createEnvironment('Point-Robot');
  const config: MamlConfig = { ...smallConfig('maml'), taskCount, episodeCount };
  const { specs } = env;
  const create = () =>
    createMamlLearner({ config, specs, tasks: env.tasks!, engine: tracedEngine, seed: 1, episodeStepCountMax: 1e12 });
  // 6 rows x 1e12 steps x 8 x (2 + 2 + 2) bytes.
  expect(create).toThrow(
    /^train maml: expected steps that fit in [\d.]+ GiB of memory, got 6 rows of 1000000000000 steps, which need 268220.9 GiB\. All steps/,
  );
  env.dispose();
});

test('every training task comes once before any comes again, in an order that the seed decides', async () => {
  const env = await createEnvironment('HalfCheetah-Vel');
  const tasks = env.tasks!;
  env.dispose();
  const source = createTaskSource(tasks.sample({ split: 'train', seed: 3 }), 40, 3);
  const drawn = [0, 1, 2, 3, 4].flatMap((iteration) => source(iteration).map(([velocity]) => velocity!));
  expect(new Set(drawn.slice(0, 100)).size).toBe(100);
  expect(new Set(drawn.slice(100)).size).toBe(100);
  expect(drawn.slice(0, 100)).not.toEqual(drawn.slice(100));
  expect(source(3)).toEqual(createTaskSource(tasks.sample({ split: 'train', seed: 3 }), 40, 3)(3));
  expect(createTaskSource(tasks.sample({ split: 'train', seed: 4 }), 40, 4)(0)).not.toEqual(source(0));
});
