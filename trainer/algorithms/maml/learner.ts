/**
 * MAML's learner: meta-parameters, and the iteration that improves them: episodes before adaptation, adaptation, episodes after it,
 * one trust-region step.
 */

import { createRandom } from '../../../src/contract/random.ts';
import type { Sliced } from '../../../src/contract/sliced.ts';
import type { PolicySpecs } from '../../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../../src/envs/task-distribution.ts';
import { initialise } from '../../../src/nn/parameters.ts';
import type { Engine } from '../../engine/engine.ts';
import { requireMemory } from '../../machine/memory.ts';
import { checkRewards } from '../../run/reward.ts';
import { checkMamlConfig, type MamlConfig } from './config.ts';
import { fillSteps, type TaskReturns } from './experience.ts';
import { createMetaObjective } from './meta-objective.ts';
import { createMamlNetworks, type MamlNetworks, type MetaShapes, type MetaViews } from './networks.ts';
import type { Sampler } from './sampler.ts';
import { createTaskArrays, type TaskArrays } from './steps.ts';
import { createTaskPolicies, type TaskPolicies, type TaskPoliciesOptions } from './task-policies.ts';
import { type TrpoProblem, type TrpoReport, trpoStep } from './trpo.ts';

export type MamlLearnerOptions = {
  readonly config: MamlConfig;
  readonly specs: PolicySpecs;
  readonly tasks: Pick<TaskDistribution, 'ranges'>;
  readonly engine: Engine;
  /** Seed of the first parameters and of the actions' noise. */
  readonly seed: number;
  /** Steps of an episode, at most. */
  readonly episodeStepCountMax: number;
};

type Adaptation = {
  /** Per task, under the policy before and after adaptation. */
  readonly pre: TaskReturns;
  readonly post: TaskReturns;
  /** Valid steps of all episodes. */
  readonly stepCount: number;
};

export type Iteration = Adaptation & { readonly trpo: TrpoReport; readonly seconds: IterationSeconds };

/** Durations of the parts of an iteration. */
type IterationSeconds = {
  /** Both sets of episodes, with their advantages. */
  readonly sampling: number;
  /** The adapted policies. */
  readonly inner: number;
  /** Gradient and line search. */
  readonly outer: number;
  /** Products of conjugate gradient. */
  readonly conjugateGradient: number;
};

/** Evaluates other tasks, or more of them, than an iteration has. */
export type MamlEvaluator = {
  /** Episodes of every task before and after adaptation; nothing is learnt. */
  evaluate(sampler: Sampler, contexts: readonly ArrayLike<number>[], batch: number): Sliced<Adaptation>;
  dispose(): void;
};

export type MamlLearner = {
  readonly networks: MamlNetworks;
  /** `policy.<name>` and, if rates are learnt, `rate.<name>`. */
  readonly parameters: MetaViews;
  readonly shapes: MetaShapes;
  /** All of them in one array: everything that a resumed run needs. */
  readonly flat: Float32Array;
  /**
   * One iteration: episodes, adaptation, outer step. It is a function of the parameters, the tasks and the number. If it throws or is
   * ended between two slices, the parameters are as before.
   * @param contexts of `config.taskCount` tasks
   * @param iteration from 0
   * @throws HyperpolicyError failed_precondition: the outer gradient is not finite; invalid_argument: a reward that no loss can hold
   */
  iterate(sampler: Sampler, contexts: readonly ArrayLike<number>[], iteration: number): Sliced<Iteration>;
  createEvaluator(options: {
    readonly taskCount: number;
    readonly episodeCount: number;
    readonly seed: number;
    /** As for `createTaskPolicies`. */
    readonly noise?: TaskPoliciesOptions['noise'];
  }): MamlEvaluator;
  dispose(): void;
};

const parameterStream = 0;

/**
 * @throws HyperpolicyError invalid_argument: a config value out of range, episodes whose steps do not fit in memory, a policy that needs a
 *   context in an environment without
 */
export function createMamlLearner(options: MamlLearnerOptions): MamlLearner {
  const { config, specs, tasks, engine, seed, episodeStepCountMax } = options;
  checkMamlConfig(config);
  const networks = createMamlNetworks(config, specs, tasks);
  requireStepMemory(config, networks, episodeStepCountMax);
  const stepCount = config.episodeCount * episodeStepCountMax;
  const objective = createMetaObjective({ engine, networks, config, stepCount });
  initialise(objective.specs, objective.parameters, createRandom(seed, parameterStream));
  const { parameters, shapes, flat } = objective;
  const shared = { engine, networks, config, parameters, shapes };
  const policies = createTaskPolicies({ ...shared, ...config, config, stepCount, seed });
  const arrays = createBatch(networks, config.taskCount, stepCount);

  return {
    networks,
    parameters,
    shapes,
    flat,
    *iterate(sampler, contexts, iteration) {
      const clock = createClock();
      setContexts(arrays, contexts, networks);
      const batches = { sampler, policies, arrays, contexts, config, batch: 2 * iteration, clock };
      const adaptation = yield* config.inner.stepCount > 0 ? adaptAll(batches) : actWithoutAdaptation(batches);
      const problem = clock.timed('outer', () => objective.problem(arrays));
      const trpo = yield* clock.slices('outer', trpoStep(timed(problem, clock), config.trpo));
      return { ...adaptation, trpo, seconds: clock.seconds() };
    },
    createEvaluator: ({ taskCount, episodeCount, seed: evaluationSeed, noise }) =>
      createEvaluator({
        ...shared,
        taskCount,
        episodeCount,
        noise,
        stepCount: episodeCount * episodeStepCountMax,
        episodeStepCountMax,
        seed: evaluationSeed,
      }),
    dispose() {
      policies.dispose();
      objective.dispose();
    },
  };
}

const timed = (problem: TrpoProblem, clock: Clock): TrpoProblem => ({
  parameters: problem.parameters,
  gradient: problem.gradient,
  product: (vector) => clock.timed('conjugateGradient', () => problem.product(vector)),
  evaluate: () => problem.evaluate(),
});

function createEvaluator(
  options: Omit<TaskPoliciesOptions, 'config'> & Pick<MamlLearnerOptions, 'config' | 'episodeStepCountMax'>,
): MamlEvaluator {
  const { networks, config, taskCount, stepCount } = options;
  requireStepMemory(options, networks, options.episodeStepCountMax);
  const policies = createTaskPolicies(options);
  const arrays = createBatch(networks, taskCount, stepCount);
  return {
    *evaluate(sampler, contexts, batch) {
      setContexts(arrays, contexts, networks);
      const clock = createClock();
      return yield* adaptAll({ sampler, policies, arrays, contexts, config, batch: 2 * batch, clock });
    },
    dispose: () => policies.dispose(),
  };
}

/** Checks that the steps of the episodes before and after adaptation fit in memory. Other memory is not counted. */
function requireStepMemory(
  { taskCount, episodeCount }: Pick<MamlConfig, 'taskCount' | 'episodeCount'>,
  { observationSize, actionSize }: MamlNetworks,
  stepCount: number,
): void {
  requireMemory(
    'train maml',
    { rowCount: taskCount * episodeCount, stepCount },
    8 * (observationSize + actionSize + 2),
  );
}

const createBatch = (networks: MamlNetworks, taskCount: number, stepCount: number): TaskArrays[] =>
  Array.from({ length: taskCount }, () => ({
    ...createTaskArrays(networks, stepCount),
    context: new Float32Array(networks.contextSize),
  }));

function setContexts(
  arrays: readonly TaskArrays[],
  contexts: readonly ArrayLike<number>[],
  { contextSize }: MamlNetworks,
): void {
  arrays.forEach(({ context }, task) => {
    for (let i = 0; i < contextSize; i++) context[i] = contexts[task]![i]!;
  });
}

type Batches = {
  readonly sampler: Sampler;
  readonly policies: TaskPolicies;
  readonly arrays: readonly TaskArrays[];
  readonly contexts: readonly ArrayLike<number>[];
  readonly config: MamlConfig;
  /** The number of the episodes before adaptation; those after it have the next. */
  readonly batch: number;
  readonly clock: Clock;
};

/** Episodes of all tasks before adaptation, the adapted policies, and their episodes. */
function* adaptAll(batches: Batches): Sliced<Adaptation> {
  const { policies, arrays, contexts, config, batch, clock } = batches;
  clock.timed('inner', () => policies.start(contexts));
  const pre = yield* sample(batches, 'pre', batch);
  if (config.inner.stepCount > 0) {
    for (const [task, { pre: steps }] of arrays.entries()) {
      clock.timed('inner', () => policies.adapt(task, contexts[task]!, steps));
      yield;
    }
  }
  const post = yield* sample(batches, 'post', batch + 1);
  return { pre, post, stepCount: pre.stepCount + post.stepCount };
}

/** What the outer step needs if there is no inner one: the episodes after adaptation, which are those before it as well. */
function* actWithoutAdaptation(batches: Batches): Sliced<Adaptation> {
  const { policies, contexts, batch, clock } = batches;
  clock.timed('inner', () => policies.start(contexts));
  const both = yield* sample(batches, 'post', batch + 1);
  return { pre: both, post: both, stepCount: both.stepCount };
}

function* sample(
  { sampler, policies, arrays, contexts, config, clock }: Batches,
  set: 'pre' | 'post',
  batch: number,
): Sliced<TaskReturns> {
  const collect = function* (): Sliced<TaskReturns> {
    const rollout = yield* sampler.collect(policies, contexts, batch);
    checkRewards(rollout, sampler.env.name);
    const to = arrays.map((task) => task[set]);
    return fillSteps(rollout, to, config.advantages);
  };
  return yield* clock.slices('sampling', collect());
}

type Clock = ReturnType<typeof createClock>;

/** Seconds by name; those of a name inside another do not count twice. */
function createClock() {
  const seconds = { sampling: 0, inner: 0, outer: 0, conjugateGradient: 0 };
  let nested = 0;
  function timed<T>(name: keyof IterationSeconds, work: () => T): T {
    const outside = nested;
    nested = 0;
    const begin = performance.now();
    const result = work();
    const taken = (performance.now() - begin) / 1000;
    seconds[name] += taken - nested;
    nested = outside + taken;
    return result;
  }
  return {
    timed,
    /** Time between two slices belongs to other work, so it is not counted. */
    *slices<T>(name: keyof IterationSeconds, work: Sliced<T>): Sliced<T> {
      try {
        for (;;) {
          const { done, value } = timed(name, () => work.next());
          if (done === true) return value;
          yield;
        }
      } finally {
        work.return(undefined as T);
      }
    },
    seconds: (): IterationSeconds => ({ ...seconds }),
  };
}
