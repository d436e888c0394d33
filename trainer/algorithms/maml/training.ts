/** One MAML run: its learner, the samplers of training and test tasks, and the loop. */

import { invalidArgument } from '../../../src/contract/errors.ts';
import { createRandom } from '../../../src/contract/random.ts';
import type { TaskDistribution } from '../../../src/envs/task-distribution.ts';
import { createNetwork } from '../../../src/nn/network.ts';
import { writeNetwork } from '../../../src/nn/network-file.ts';
import { under } from '../../../src/nn/parameters.ts';
import { type IterationsConfig, type IterativeLearner, trainIterations } from '../../loops/iterations.ts';
import type { Setup, Training } from '../../run/algorithm.ts';
import { environmentPlace } from '../../run/environment-place.ts';
import { loadBestLearner } from '../../run/evaluations.ts';
import { restoreArrays, type SavedState } from '../../run/saved-state.ts';
import type { MamlConfig } from './config.ts';
import { createMamlLearner, type Iteration, type MamlEvaluator, type MamlLearner } from './learner.ts';
import { mamlModel } from './model.ts';
import { policyDescription } from './networks.ts';
import { createSampler, type Sampler } from './sampler.ts';

/** Of the order of training tasks. */
const taskStream = 7;
/** Evaluations have starts and noise of their own. */
const evaluationSeedOffset = 100;

/**
 * @throws HyperpolicyError invalid_argument: settings that do not fit each other, an environment without tasks
 */
export async function openMaml({ config: run, env, engine }: Setup): Promise<Training> {
  const config = run.algorithm as unknown as MamlConfig;
  const loop = run.loop as IterationsConfig;
  const { specs, tasks, episodeStepCountMax } = env;
  if (tasks === null) {
    throw invalidArgument({
      where: 'train maml',
      expected: 'an environment with tasks, such as HalfCheetah-Vel',
      actual: `"${run.environment}", which has one task only`,
    });
  }
  const { seed } = loop;
  const learner = createMamlLearner({ config, specs, tasks, engine, seed, episodeStepCountMax });
  const tests = tasks.sample({ split: 'test', seed, count: loop.evaluationTaskCount ?? tasks.counts.test });
  const episodeCount = loop.evaluationEpisodeCount;
  const testSeed = seed + evaluationSeedOffset;
  const evaluator = learner.createEvaluator({ taskCount: tests.length, episodeCount, seed: testSeed });
  const place = environmentPlace(run);
  const taskSource = createTaskSource(tasks, config.taskCount, seed);
  const sampler = await createSampler({ env: place, contexts: taskSource(0), episodeCount: config.episodeCount, seed });
  const testSampler = await createSampler({ env: place, contexts: tests, episodeCount, seed: testSeed });
  const save = (): SavedState => ({ arrays: { parameters: learner.flat }, state: null });
  const restore = ({ arrays }: SavedState) => restoreArrays('MAML learner', { parameters: learner.flat }, arrays);
  const parts: Parts = { learner, sampler, taskSource, evaluator, testSampler, tests };

  return {
    stepCount: loop.iterationCount,
    run: (context) =>
      trainIterations({
        ...context,
        learner: { ...iterative(parts), save, restore },
        config: loop,
        title: env.name,
      }),
    async restoreBest(runDirectory, best) {
      restore(await loadBestLearner(runDirectory, best));
    },
    model: () => mamlModel(learner.networks, config, learner.parameters),
    networkFiles() {
      const network = createNetwork({ kind: 'policy', ...policyDescription(config, specs) });
      const { scaling, context, contextSize } = learner.networks;
      const use = {
        specs: contextSize === 0 ? { ...specs, context: null } : specs,
        units: { scaling, context },
        rewardScale: 1,
      };
      return new Map([['policy.safetensors', writeNetwork(network, under('policy', learner.parameters), use)]]);
    },
    dispose() {
      // Threads of environments end with the process; nobody waits for them.
      void sampler.dispose();
      void testSampler.dispose();
      evaluator.dispose();
      learner.dispose();
    },
  };
}

/**
 * The tasks of an iteration: the family's training tasks in random order, all of them before any comes again. A function of the
 * seed and the iteration.
 */
export function createTaskSource(tasks: TaskDistribution, taskCount: number, seed: number) {
  const all = tasks.sample({ split: 'train', seed });
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

type Parts = {
  readonly learner: MamlLearner;
  readonly sampler: Sampler;
  readonly taskSource: (iteration: number) => Float64Array[];
  readonly evaluator: MamlEvaluator;
  readonly testSampler: Sampler;
  readonly tests: readonly Float64Array[];
};

const iterative = (parts: Parts): Pick<IterativeLearner, 'iterate' | 'evaluate'> => ({
  iterate: (iteration) => metricsOf(parts.learner.iterate(parts.sampler, parts.taskSource(iteration), iteration)),
  evaluate(iteration) {
    const { pre, post } = parts.evaluator.evaluate(parts.testSampler, parts.tests, iteration);
    return { pre: pre.returns, post: post.returns };
  },
});

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** README.md has the glossary. */
function metricsOf({ pre, post, trpo, seconds }: Iteration) {
  const taken = trpo.accepted === null ? undefined : trpo.tries[trpo.accepted]!;
  return {
    preReturn: mean(pre.returns),
    postReturn: mean(post.returns),
    environmentSteps: pre.stepCount + post.stepCount,
    cgResidualSquared: trpo.residualsSquared.at(-1) ?? 0,
    cgIterations: trpo.residualsSquared.length,
    stepScale: trpo.scale,
    backtracks: trpo.accepted ?? trpo.tries.length,
    accepted: taken === undefined ? 0 : 1,
    kl: taken?.kl ?? 0,
    improvement: taken === undefined ? 0 : -taken.loss,
    samplingSeconds: seconds.sampling,
    innerSeconds: seconds.inner,
    outerSeconds: seconds.outer,
    cgSeconds: seconds.conjugateGradient,
  };
}
