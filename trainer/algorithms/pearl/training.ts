/** One PEARL run: its evaluations, reports and the published model. */

import type { Sliced } from '../../../src/contract/sliced.ts';
import { type IterationsConfig, type TaskEvaluation, trainIterations } from '../../loops/iterations.ts';
import type { Setup, SetupToCheck, Training } from '../../run/algorithm.ts';
import { moments } from '../../run/evaluation.ts';
import { loadBestLearner } from '../../run/evaluations.ts';
import { requireTasks } from '../../run/required-tasks.ts';
import { returnTexts } from '../../run/return-text.ts';
import { runInTurns } from '../../run/turns.ts';
import { checkPearlConfig, infers, type PearlConfig } from './config.ts';
import type { EvaluatedTasks } from './evaluation.ts';
import { networkState } from './learner.ts';
import { pearlFiles, pearlModel } from './model.ts';
import { createPearlRun, createRunNetworks, evaluationSeedOffset, requireLearningReward } from './parts.ts';
import { type RunTasks, runTasks, withGivenRanges } from './tasks.ts';

/** Draws for the test of the published model. */
const freshSeedOffset = 200;

/** @throws HyperpolicyError invalid_argument: settings that do not fit each other, or the environment and its tasks */
export function checkPearl(setup: SetupToCheck): void {
  const config = setup.config.algorithm as unknown as PearlConfig;
  checkPearlConfig(config);
  const tasks = withGivenRanges(requireTasks(setup), config);
  requireLearningReward(config, tasks);
  createRunNetworks(config, setup.environment.specs, tasks);
}

export async function openPearl(setup: Setup): Promise<Training> {
  const { config: run, environment, engine } = setup;
  const config = run.algorithm as unknown as PearlConfig;
  const loop = run.loop as IterationsConfig;
  const { seed } = loop;
  const tasks = await runTasks(requireTasks(setup), config, { seed, testTaskCount: loop.evaluationTaskCount });
  const { specs, episodeStepCountMax, source: env } = environment;
  const shared = { specs, episodeStepCountMax, engine, env, threadCount: run.threadCount };
  const parts = await createPearlRun({ ...shared, config, loop, tasks });
  const evaluate = () => evaluationOf(tasks, (contexts) => parts.evaluate(contexts, seed + evaluationSeedOffset));

  return {
    stepCount: loop.iterationCount,
    run(context) {
      context.reporter?.print(memoryText(config, tasks, parts.bufferByteCountMax));
      return trainIterations({
        ...context,
        learner: { ...parts.learner, evaluate },
        config: loop,
        title: environment.name,
      });
    },
    async evaluateAfresh(signal) {
      const slices = parts.evaluate(tasks.test, seed + freshSeedOffset, { areFresh: true });
      const { returns, meanLength } = await runInTurns(slices, signal);
      const lengths = returns.map(() => meanLength);
      return { ...moments(returns), returns, lengths, episodeCount: returns.length * loop.evaluationEpisodeCount };
    },
    async restoreBest(runDirectory, best) {
      networkState(parts.parameters).restore(await loadBestLearner(runDirectory, best));
    },
    model: () => pearlModel(parts.model),
    networkFiles: () => pearlFiles(parts.model),
    dispose: async () => parts.dispose(),
  };
}

function memoryText({ agent, replayCapacity, contextCapacity }: PearlConfig, { train }: RunTasks, byteCount: number) {
  const rows = infers(agent) ? `(${replayCapacity} + ${contextCapacity} for the encoder)` : replayCapacity;
  return `replay: ${train.length} tasks x ${rows} transitions, at most ${Math.ceil(byteCount / 2 ** 20)} MiB`;
}

/** Evaluates held-out tasks, and those out of range if there are any. */
function* evaluationOf(
  { test, outOfRange }: RunTasks,
  evaluate: (tasks: readonly Float64Array[]) => Sliced<EvaluatedTasks>,
): Sliced<TaskEvaluation> {
  const { returns, explorationReturns, divergedCount } = yield* evaluate(test);
  const testReturn = moments(returns).meanReturn;
  const evaluatedBeyond = outOfRange && (yield* evaluate(outOfRange));
  const beyond = evaluatedBeyond && moments(evaluatedBeyond.returns);
  const before = explorationReturns.length > 0 ? moments(explorationReturns) : undefined;
  const results = { testReturn, ...(beyond && { outOfRangeReturn: beyond.meanReturn }) };
  return {
    returns,
    before,
    results,
    metrics: {
      ...results,
      ...(beyond && { outOfRangeStandardDeviation: beyond.standardDeviation }),
      ...(before && {
        explorationReturn: before.meanReturn,
        explorationStandardDeviation: before.standardDeviation,
      }),
    },
    divergedCount: divergedCount + (evaluatedBeyond?.divergedCount ?? 0),
    text: `test tasks ${returnTexts(testReturn)[0]}${beyond ? `, out of range ${returnTexts(beyond.meanReturn)[0]}` : ''}`,
  };
}
