/**
 * What a MAML run is made of, in training and in studies of it: the learner, with the samplers of training and test tasks. The seed of
 * the run chooses the tasks; starts and noise of the episodes may have another.
 */

import { createRandom } from '../../../src/contract/random.ts';
import type { IterationsConfig } from '../../loops/iterations.ts';
import type { Setup } from '../../run/algorithm.ts';
import { requireTasks } from '../../run/required-tasks.ts';
import { restoreArrays, type SavedState } from '../../run/saved-state.ts';
import type { MamlConfig } from './config.ts';
import { createMamlLearner, type MamlEvaluator, type MamlLearner } from './learner.ts';
import { createSampler, type Sampler } from './sampler.ts';

/** Random stream of the order of training tasks. */
const taskStream = 7;
/** Evaluations have starts and noise of their own, the one of what is published has others, and studies of a run have theirs. */
export const seedOffsets = { evaluation: 100, fresh: 200, study: 300 };

export type Parts = {
  readonly learner: MamlLearner;
  readonly sampler: Sampler;
  /** All tasks that iterations draw from. */
  readonly trainingTaskCount: number;
  readonly taskSource: (iteration: number) => Float64Array[];
  readonly tester: Tester;
  /** Another, with starts and noise of this seed. */
  openTester(seed: number): Promise<Tester>;
};

/** Test tasks with all that evaluates on them. */
export type Tester = {
  readonly evaluator: MamlEvaluator;
  readonly sampler: Sampler;
  readonly tests: readonly Float64Array[];
};

/**
 * @param options.episodeSeed of the parameters at the start, the order of the tasks, and the starts and noise of their episodes
 * @throws HyperpolicyError invalid_argument: settings that do not fit each other, an environment without tasks
 */
export async function openParts(setup: Setup, { episodeSeed }: { readonly episodeSeed: number }): Promise<Parts> {
  const { config: run, environment, engine } = setup;
  const config = run.algorithm as unknown as MamlConfig;
  const loop = run.loop as IterationsConfig;
  const { specs, episodeStepCountMax, source: env } = environment;
  const tasks = requireTasks(setup);
  const { seed, evaluationEpisodeCount: episodeCount } = loop;
  const { threadCount } = run;
  const learner = createMamlLearner({ config, specs, tasks, engine, seed: episodeSeed, episodeStepCountMax });
  const tests = await tasks.sample({ split: 'test', seed, count: loop.evaluationTaskCount ?? tasks.counts.test });
  const trainingTasks = await tasks.sample({ split: 'train', seed });
  const taskSource = createTaskSource(trainingTasks, config.taskCount, episodeSeed);
  const training = { env, contexts: taskSource(0), episodeCount: config.episodeCount, seed: episodeSeed, threadCount };
  const sampler = await createSampler(training);
  const openTester = async (testSeed: number): Promise<Tester> => ({
    evaluator: learner.createEvaluator({ taskCount: tests.length, episodeCount, seed: testSeed }),
    sampler: await createSampler({ env, contexts: tests, episodeCount, seed: testSeed, threadCount }),
    tests,
  });
  const tester = await openTester(episodeSeed + seedOffsets.evaluation);
  return { learner, sampler, trainingTaskCount: trainingTasks.length, taskSource, tester, openTester };
}

export function disposeParts({ learner, sampler, tester }: Parts): void {
  // Not awaited: threads of environments end with the process.
  void sampler.dispose();
  disposeTester(tester);
  learner.dispose();
}

export function disposeTester({ evaluator, sampler }: Tester): void {
  void sampler.dispose();
  evaluator.dispose();
}

/** Everything that a resumed run needs, as a view. */
export const savedLearner = ({ flat }: MamlLearner): SavedState => ({ arrays: { parameters: flat }, state: null });

/** @throws HyperpolicyError invalid_argument: the state of another learner */
export const restoreLearner = ({ flat }: MamlLearner, { arrays }: SavedState): void =>
  restoreArrays('MAML learner', { parameters: flat }, arrays);

/**
 * For each test task, the mean return of its episodes, before and after adaptation, and the mean length of those after it. Of all: how
 * many the simulator cut.
 * @param batch of episodes, from 0
 */
export function* testReturns({ evaluator, sampler, tests }: Tester, batch: number) {
  const { pre, post } = yield* evaluator.evaluate(sampler, tests, batch);
  const divergedCount = pre.divergedCount + post.divergedCount;
  return { pre: pre.returns, post: post.returns, lengths: post.lengths, divergedCount };
}

/**
 * The tasks of an iteration: all training tasks in random order, all of them before any comes again. A function of the
 * seed and the iteration.
 */
export function createTaskSource(all: readonly Float64Array[], taskCount: number, seed: number) {
  /** Round r of all tasks, shuffled. */
  const round = (r: number): Float64Array[] => {
    const random = createRandom(seed, taskStream);
    random.position = r * all.length;
    const order = [...all];
    for (let i = order.length - 1; i > 0; i--) {
      const j = random.integer(i + 1);
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    return order;
  };
  return (iteration: number): Float64Array[] =>
    Array.from({ length: taskCount }, (_, i) => {
      const n = iteration * taskCount + i;
      return round(Math.floor(n / all.length))[n % all.length]!;
    });
}
