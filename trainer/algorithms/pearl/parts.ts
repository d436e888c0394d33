/** The parts of one PEARL run, put together: networks, replay, samplers, learner and evaluation. */

import { invalidArgument } from '../../../src/contract/errors.ts';
import type { Sliced } from '../../../src/contract/sliced.ts';
import { type PolicySpecs, specSizes } from '../../../src/contract/tensor-spec.ts';
import type { TaskFamily } from '../../../src/envs/task-distribution.ts';
import type { Engine } from '../../engine/engine.ts';
import type { IterationsConfig, IterativeLearner } from '../../loops/iterations.ts';
import type { ReadArrays } from '../../off-policy/actor-critic.ts';
import { taskNormalisation } from '../../off-policy/policies.ts';
import { createEpisodeBuffer } from '../../replay/episode-buffer.ts';
import type { Transition } from '../../replay/replay-buffer.ts';
import { createTaskReplay, type TaskReplay } from '../../replay/task-replay.ts';
import type { VectorEnvOptions } from '../../rollout/vector-env.ts';
import { createCollectingNetworks } from './collecting-networks.ts';
import { collectorRandom, createCollector } from './collector.ts';
import { infers, type PearlConfig } from './config.ts';
import { type EvaluatedTasks, evaluateTasks } from './evaluation.ts';
import { createPearlLearner, learnerRandom } from './learner.ts';
import type { PearlModelOptions } from './model.ts';
import { createPearlNetworks, createTaskNetworks, type PearlNetworks } from './networks.ts';
import { createPearlParameters, type PearlParameters } from './parameters.ts';
import { createRunningPosteriors, createSamplePosteriors, type PosteriorOptions } from './posteriors.ts';
import { createSampler, type Sampler, type SamplerOptions } from './sampler.ts';
import type { RunTasks } from './tasks.ts';
import { createUpdates } from './updates.ts';

/** Evaluations have starts and draws of their own. */
export const evaluationSeedOffset = 100;

export type PearlRunOptions = {
  readonly config: PearlConfig;
  readonly loop: IterationsConfig;
  readonly specs: PolicySpecs;
  readonly tasks: RunTasks;
  readonly engine: Engine;
  /** The environment, as for `createVectorEnv`. */
  readonly env: VectorEnvOptions['env'];
  readonly episodeStepCountMax: number;
  /** Threads that step environments. */
  readonly threadCount: number;
};

export type PearlRun = {
  readonly parameters: PearlParameters;
  readonly replay: TaskReplay;
  /** Bytes of all buffers when they are full. */
  readonly bufferByteCountMax: number;
  readonly learner: Omit<IterativeLearner, 'evaluate'>;
  /**
   * As many tasks as the run tests. All evaluations of a run begin from the same states.
   * @param seed of z
   * @param options.areFresh starts that no evaluation has
   */
  evaluate(
    tasks: readonly ArrayLike<number>[],
    seed: number,
    options?: { readonly areFresh: boolean },
  ): Sliced<EvaluatedTasks>;
  readonly model: PearlModelOptions;
  dispose(): void;
};

/** @throws HyperpolicyError invalid_argument: options that a network does not take, a size that is not positive */
export async function createPearlRun(options: PearlRunOptions): Promise<PearlRun> {
  const { config, loop, specs, tasks, engine } = options;
  const { seed } = loop;
  const { networks, ...given } = createRunNetworks(config, specs, tasks);
  const { latentSize, latentOf } = given;
  const parameters = createPearlParameters(networks, config, seed);
  const collecting = createCollectingNetworks(parameters);
  const { replay, newest } = createBuffers(options);
  const policies = { collecting: collecting.policy, learnt: parameters.policy };
  const samplers = await createSamplers(options, { networks, policies, latentSize });
  const encoderOf = (encoder: ReadArrays | undefined) =>
    encoder && { engine, config, networks: networks as PearlNetworks, encoder };
  const posteriors = createPosteriors(encoderOf(collecting.encoder), encoderOf(parameters.encoder?.arrays), samplers);
  const updates = createUpdates({ engine, config, networks, parameters, latentSize });
  const shared = { config, replay, contexts: tasks.train, latentOf };
  const random = collectorRandom(seed);
  // Without a posterior there is nothing to explore for.
  const explorationEpisodeCount = infers(config.agent) ? config.explorationEpisodeCount : 0;
  const collector = createCollector({ ...shared, ...samplers, posteriors: posteriors.ofSamples, newest, random });
  const learning = { parameters, updates, collector, collecting, random: learnerRandom(seed) };
  return {
    parameters,
    replay,
    bufferByteCountMax: [replay, ...newest].reduce((sum, { byteCountMax }) => sum + byteCountMax, 0),
    learner: createPearlLearner({ ...shared, ...learning, now: () => performance.now() }),
    evaluate: (contexts, latentSeed, { areFresh } = { areFresh: false }) =>
      evaluateTasks({
        sampler: samplers.test,
        tasks: contexts,
        posteriors: posteriors.running,
        latentOf,
        explorationEpisodeCount,
        scoredEpisodeCount: loop.evaluationEpisodeCount,
        seed: latentSeed,
        firstEpisode: areFresh ? explorationEpisodeCount + loop.evaluationEpisodeCount : 0,
      }),
    model: { config, networks, parameters, specs, context: given.normalisation },
    dispose() {
      updates.dispose();
      posteriors.ofSamples?.dispose();
      posteriors.running?.dispose();
      // Not awaited: threads of environments end with the process.
      for (const sampler of Object.values(samplers)) void sampler?.dispose();
    },
  };
}

/**
 * The networks of a run, with z where it is not inferred.
 * @throws HyperpolicyError invalid_argument: options that a network does not take, a range of tasks without an end
 */
export function createRunNetworks(config: PearlConfig, specs: PolicySpecs, tasks: Pick<RunTasks, 'ranges'>) {
  const given = givenLatent(config, specs, tasks);
  const networks = infers(config.agent)
    ? createPearlNetworks(config, specs)
    : createTaskNetworks(config, specs, given.latentSize);
  return { ...given, networks };
}

const infersFromSteps = ({ agent, posteriorStepCount }: PearlConfig) => infers(agent) && posteriorStepCount > 0;

/** Transitions of all training tasks, and, where z is inferred, for each task of a collection those that are newest. */
function createBuffers({ config, specs, tasks }: PearlRunOptions) {
  const { replayCapacity, contextCapacity, taskCount } = config;
  const { observationSize, actionSize } = specSizes(specs);
  const sizes = { observationSize, actionSize };
  return {
    replay: createTaskReplay({
      ...sizes,
      taskCount: tasks.train.length,
      capacity: replayCapacity,
      contextCapacity: infers(config.agent) ? contextCapacity : undefined,
      rewardOf: learningReward(config, tasks),
    }),
    newest: Array.from({ length: infersFromSteps(config) ? taskCount : 0 }, () =>
      createEpisodeBuffer({ ...sizes, capacity: contextCapacity }),
    ),
  };
}

/** @throws HyperpolicyError invalid_argument: the environment has no dense reward, and updates are to learn from it */
export function requireLearningReward(
  { learningReward: kind }: PearlConfig,
  { denseReward }: Pick<TaskFamily, 'denseReward'>,
): TaskFamily['denseReward'] {
  if (kind === 'own') return undefined;
  if (denseReward !== undefined) return denseReward;
  const expected = 'own, as the environment has no dense reward';
  throw invalidArgument({ where: 'PEARL learningReward', expected, actual: kind });
}

/** Learning reward of a step in a training task. */
function learningReward(config: PearlConfig, tasks: RunTasks) {
  const { train } = tasks;
  const denseReward = requireLearningReward(config, tasks);
  if (denseReward === undefined) return undefined;
  return (task: number, { nextObservation }: Transition) => denseReward(train[task]!, nextObservation);
}

type Samplers = { readonly prior: Sampler; readonly posterior: Sampler | undefined; readonly test: Sampler };

async function createSamplers(
  { config, loop: { seed }, tasks, env, engine, episodeStepCountMax, threadCount }: PearlRunOptions,
  {
    policies,
    ...policy
  }: Pick<SamplerOptions, 'networks' | 'latentSize'> & {
    readonly policies: Record<'collecting' | 'learnt', ReadArrays>;
  },
): Promise<Samplers> {
  const common = { ...policy, engine, env, threadCount, context: tasks.train[0]! };
  /** Rows of an episode each, so many that a task has at least `count` steps. */
  const ofSteps = (count: number) => {
    const rowCount = config.taskCount * Math.ceil(count / episodeStepCountMax);
    return createSampler({ ...common, rowCount, stepCount: episodeStepCountMax, policy: policies.collecting, seed });
  };
  return {
    prior: await ofSteps(config.priorStepCount),
    posterior: config.posteriorStepCount === 0 ? undefined : await ofSteps(config.posteriorStepCount),
    test: await createSampler({
      ...common,
      policy: policies.learnt,
      rowCount: tasks.test.length,
      stepCount: episodeStepCountMax,
      seed: seed + evaluationSeedOffset,
    }),
  };
}

const createPosteriors = (
  collecting: PosteriorOptions | undefined,
  learnt: PosteriorOptions | undefined,
  { posterior, test }: Samplers,
) => ({
  ofSamples: collecting && posterior && createSamplePosteriors(collecting, posterior.rowCount),
  running: learnt && createRunningPosteriors(learnt, test.rowCount),
});

/** z if it is not inferred: how many values, and which. */
function givenLatent(
  { agent, latentSize, contextUnits }: PearlConfig,
  specs: PolicySpecs,
  tasks: Pick<RunTasks, 'ranges'>,
) {
  const none = () => new Float32Array();
  if (infers(agent)) return { latentSize, latentOf: none, normalisation: undefined };
  if (agent === 'no-context') return { latentSize: 0, latentOf: none, normalisation: undefined };
  const normalisation = taskNormalisation({ contextUnits }, tasks);
  const latentOf = (task: ArrayLike<number>) =>
    Float32Array.from(task, (value, i) =>
      normalisation === undefined ? value : (value - normalisation.shift[i]!) / normalisation.scale[i]!,
    );
  return { latentSize: specSizes(specs).contextSize, latentOf, normalisation };
}
