/** One MAML run: its learner, the samplers of training and test tasks, and the loop. */

import { invalidArgument } from '../../../src/contract/errors.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { createNetwork } from '../../../src/nn/network.ts';
import { writeNetwork } from '../../../src/nn/network-file.ts';
import { under } from '../../../src/nn/parameters.ts';
import { type IterationsConfig, type IterativeLearner, trainIterations } from '../../loops/iterations.ts';
import type { Publishable, Setup, Training } from '../../run/algorithm.ts';
import { moments } from '../../run/evaluation.ts';
import { loadBestLearner } from '../../run/evaluations.ts';
import { restoreArrays, type SavedState } from '../../run/saved-state.ts';
import { runInTurns } from '../../run/turns.ts';
import type { MamlConfig } from './config.ts';
import { createMamlLearner, type Iteration, type MamlEvaluator, type MamlLearner } from './learner.ts';
import { mamlModel } from './model.ts';
import { policyDescription } from './networks.ts';
import { createSampler, type Sampler } from './sampler.ts';

/** Random stream of the order of training tasks. */
const taskStream = 7;
/** Evaluations have starts and noise of their own, and the one of what is published has others. */
const seedOffsets = { evaluation: 100, fresh: 200 };

/**
 * @throws HyperpolicyError invalid_argument: settings that do not fit each other, an environment without tasks
 */
export async function openMaml(setup: Setup): Promise<Training> {
  const { config: run, environment } = setup;
  const loop = run.loop as IterationsConfig;
  const parts = await openParts(setup);
  const { learner, sampler, tester } = parts;
  const save = (): SavedState => ({ arrays: { parameters: learner.flat }, state: null });
  const restore = ({ arrays }: SavedState) => restoreArrays('MAML learner', { parameters: learner.flat }, arrays);
  return {
    stepCount: loop.iterationCount,
    run: (context) =>
      trainIterations({
        ...context,
        learner: { ...iterative(parts), save, restore, saveNetworks: save },
        config: loop,
        title: environment.name,
      }),
    async evaluateAfresh(signal) {
      const fresh = await parts.openTester(loop.seed + seedOffsets.fresh);
      try {
        const { post: returns, lengths } = await runInTurns(testReturns(fresh, 0), signal);
        return { ...moments(returns), returns, lengths };
      } finally {
        disposeTester(fresh);
      }
    },
    async restoreBest(runDirectory, best) {
      restore(await loadBestLearner(runDirectory, best));
    },
    ...publishable(learner, setup),
    async dispose() {
      // Not awaited: threads of environments end with the process.
      void sampler.dispose();
      disposeTester(tester);
      learner.dispose();
    },
  };
}

async function openParts({ config: run, environment, engine }: Setup): Promise<Parts> {
  const config = run.algorithm as unknown as MamlConfig;
  const loop = run.loop as IterationsConfig;
  const { specs, tasks, episodeStepCountMax, source: env } = environment;
  if (tasks === null) {
    throw invalidArgument({
      where: 'train maml',
      expected: 'an environment with tasks, such as HalfCheetah-Vel',
      actual: `"${run.environment}", which has one task only`,
    });
  }
  const { seed, evaluationEpisodeCount: episodeCount } = loop;
  const { threadCount } = run;
  const learner = createMamlLearner({ config, specs, tasks, engine, seed, episodeStepCountMax });
  const tests = await tasks.sample({ split: 'test', seed, count: loop.evaluationTaskCount ?? tasks.counts.test });
  const taskSource = createTaskSource(await tasks.sample({ split: 'train', seed }), config.taskCount, seed);
  const training = { env, contexts: taskSource(0), episodeCount: config.episodeCount, seed, threadCount };
  const sampler = await createSampler(training);
  const openTester = async (testSeed: number): Promise<Tester> => ({
    evaluator: learner.createEvaluator({ taskCount: tests.length, episodeCount, seed: testSeed }),
    sampler: await createSampler({ env, contexts: tests, episodeCount, seed: testSeed, threadCount }),
    tests,
  });
  const tester = await openTester(seed + seedOffsets.evaluation);
  return { learner, sampler, taskSource, tester, openTester };
}

const publishable = (
  { networks, parameters }: MamlLearner,
  { config: run, environment: { specs } }: Setup,
): Publishable => {
  const config = run.algorithm as unknown as MamlConfig;
  const { evaluationEpisodeCount } = run.loop as IterationsConfig;
  return {
    model: () => ({
      ...mamlModel(networks, config, parameters),
      ...(config.inner.stepCount > 0 && { adaptationEpisodeCount: evaluationEpisodeCount }),
    }),
    networkFiles() {
      const { scaling, context, contextSize } = networks;
      const network = createNetwork({ kind: 'policy', ...policyDescription(config, specs) });
      const use = {
        specs: contextSize === 0 ? { ...specs, context: null } : specs,
        units: { scaling, context },
        rewardScale: 1,
      };
      return new Map([['policy.safetensors', writeNetwork(network, under('policy', parameters), use)]]);
    },
  };
};

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

type Parts = {
  readonly learner: MamlLearner;
  readonly sampler: Sampler;
  readonly taskSource: (iteration: number) => Float64Array[];
  readonly tester: Tester;
  /** Another, with starts and noise of this seed. */
  openTester(seed: number): Promise<Tester>;
};

/** Test tasks with all that evaluates on them. */
type Tester = {
  readonly evaluator: MamlEvaluator;
  readonly sampler: Sampler;
  readonly tests: readonly Float64Array[];
};

function disposeTester({ evaluator, sampler }: Tester): void {
  void sampler.dispose();
  evaluator.dispose();
}

/**
 * For each test task, the mean return of its episodes, before and after adaptation, and the mean length of those after it.
 * @param batch of episodes, from 0
 */
function* testReturns({ evaluator, sampler, tests }: Tester, batch: number) {
  const { pre, post } = yield* evaluator.evaluate(sampler, tests, batch);
  return { pre: pre.returns, post: post.returns, lengths: post.lengths };
}

const iterative = (parts: Parts): Pick<IterativeLearner, 'iterate' | 'evaluate'> => ({
  *iterate(iteration) {
    const { learner, sampler, taskSource } = parts;
    const metrics = metricsOf(yield* learner.iterate(sampler, taskSource(iteration), iteration));
    const { preReturn, postReturn } = metrics;
    const text = `training tasks ${beforeAndAfter(preReturn, postReturn)}`;
    return { metrics, latestReturn: [preReturn, postReturn] as const, text };
  },
  *evaluate(iteration) {
    const { pre, post } = yield* testReturns(parts.tester, iteration);
    const [before, after] = [moments(pre), moments(post)];
    return {
      returns: post,
      before,
      results: { preReturn: before.meanReturn, postReturn: after.meanReturn },
      metrics: {
        testPreReturn: before.meanReturn,
        testPostReturn: after.meanReturn,
        testPreDeviation: before.standardDeviation,
        testPostDeviation: after.standardDeviation,
      },
      text: `test tasks ${beforeAndAfter(before.meanReturn, after.meanReturn)}`,
    };
  },
});

const beforeAndAfter = (before: number, after: number): string =>
  `${before.toFixed(1)} before, ${after.toFixed(1)} after`;

/** README.md has the glossary. */
function metricsOf({ pre, post, stepCount, trpo, seconds }: Iteration) {
  const taken = trpo.accepted === null ? undefined : trpo.tries[trpo.accepted]!;
  return {
    preReturn: moments(pre.returns).meanReturn,
    postReturn: moments(post.returns).meanReturn,
    environmentSteps: stepCount,
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
