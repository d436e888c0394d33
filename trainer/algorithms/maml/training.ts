/** One MAML run: its parts in the loop, and what is published. */

import { createNetwork } from '../../../src/nn/network.ts';
import { writeNetwork } from '../../../src/nn/network-file.ts';
import { under } from '../../../src/nn/parameters.ts';
import { requireRoomForAdapted } from '../../export/adaptation.ts';
import { type IterationsConfig, type IterativeLearner, trainIterations } from '../../loops/iterations.ts';
import type { Publishable, Setup, SetupToCheck, Training } from '../../run/algorithm.ts';
import { moments } from '../../run/evaluation.ts';
import { loadBestLearner } from '../../run/evaluations.ts';
import { requireTasks } from '../../run/required-tasks.ts';
import { beforeAndAfterText } from '../../run/return-text.ts';
import type { SavedState } from '../../run/saved-state.ts';
import { publishing } from '../../run/trainable.ts';
import { runInTurns } from '../../run/turns.ts';
import { checkMamlConfig, type MamlConfig } from './config.ts';
import type { Iteration, MamlLearner } from './learner.ts';
import { mamlModel } from './model.ts';
import { createMamlNetworks, policyDescription } from './networks.ts';
import {
  disposeParts,
  disposeTester,
  openParts,
  type Parts,
  restoreLearner,
  savedLearner,
  seedOffsets,
  testReturns,
} from './parts.ts';

/**
 * @throws HyperpolicyError invalid_argument: settings that do not fit each other, an environment without tasks, a policy that cannot be
 *   published
 */
export function checkMaml(setup: SetupToCheck): void {
  const config = setup.config.algorithm as unknown as MamlConfig;
  checkMamlConfig(config);
  const tasks = requireTasks(setup);
  const { policy } = createMamlNetworks(config, setup.environment.specs, tasks);
  const isPublished = publishing(setup.config) !== undefined;
  if (isPublished && config.inner.stepCount > 0) requireRoomForAdapted('train maml', policy);
}

export async function openMaml(setup: Setup): Promise<Training> {
  const { config: run, environment } = setup;
  const loop = run.loop as IterationsConfig;
  const parts = await openParts(setup, { episodeSeed: loop.seed });
  const { learner } = parts;
  const save = () => savedLearner(learner);
  const restore = (saved: SavedState) => restoreLearner(learner, saved);
  return {
    stepCount: loop.iterationCount,
    run: (context) =>
      trainIterations({
        ...context,
        learner: { ...iterative(parts, run.algorithm as unknown as MamlConfig), save, restore, saveNetworks: save },
        config: loop,
        title: environment.name,
      }),
    async evaluateAfresh(signal) {
      const fresh = await parts.openTester(loop.seed + seedOffsets.fresh);
      try {
        const { post: returns, lengths } = await runInTurns(testReturns(fresh, 0), signal);
        const episodeCount = returns.length * loop.evaluationEpisodeCount;
        return { ...moments(returns), returns, lengths, episodeCount };
      } finally {
        disposeTester(fresh);
      }
    },
    async restoreBest(runDirectory, best) {
      restore(await loadBestLearner(runDirectory, best));
    },
    ...publishable(learner, setup),
    async dispose() {
      disposeParts(parts);
    },
  };
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

const iterative = (parts: Parts, { inner }: MamlConfig): Pick<IterativeLearner, 'iterate' | 'evaluate'> => ({
  *iterate(iteration) {
    const { learner, sampler, taskSource } = parts;
    const done = yield* learner.iterate(sampler, taskSource(iteration), iteration);
    const metrics = metricsOf(done);
    const { preReturn, postReturn } = metrics;
    const text = `training tasks ${beforeAndAfterText(preReturn, postReturn)}`;
    return {
      metrics,
      latestReturn: { of: 'training', value: [preReturn, postReturn] } as const,
      text,
      divergedCount: divergedCountOf(done),
    };
  },
  *evaluate(iteration) {
    const { pre, post, divergedCount } = yield* testReturns(parts.tester, iteration);
    const [before, after] = [moments(pre), moments(post)];
    return {
      returns: post,
      // Without an inner step both are of the same policy.
      before: inner.stepCount > 0 ? before : undefined,
      results: { preReturn: before.meanReturn, postReturn: after.meanReturn },
      metrics: {
        testPreReturn: before.meanReturn,
        testPostReturn: after.meanReturn,
        testPreDeviation: before.standardDeviation,
        testPostDeviation: after.standardDeviation,
      },
      text: `test tasks ${beforeAndAfterText(before.meanReturn, after.meanReturn)}`,
      divergedCount,
    };
  },
});

/** Without an inner step both are the same episodes. */
const divergedCountOf = ({ pre, post }: Iteration): number =>
  pre.divergedCount + (post === pre ? 0 : post.divergedCount);

/** README.md has the glossary. */
function metricsOf({ pre, post, stepCount, trpo, seconds }: Iteration) {
  const taken = trpo.accepted === null ? undefined : trpo.tries[trpo.accepted]!;
  return {
    preReturn: moments(pre.returns).meanReturn,
    postReturn: moments(post.returns).meanReturn,
    environmentSteps: stepCount,
    cgResidualSquared: trpo.residualSquared,
    cgIterations: trpo.residualsSquared.length,
    stepScale: trpo.scale,
    stepLength: trpo.stepLength,
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
