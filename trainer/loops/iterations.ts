/**
 * The loop of algorithms whose steps are whole iterations, each a function of the learner's state and its number: iterations, with
 * evaluations, metrics and checkpoints between. A long iteration comes in pieces, with checkpoints between these too. It knows no
 * algorithm.
 *
 * A run directory holds `metrics.jsonl`, `metrics.csv`, `tensorboard/`, `learning-curve.svg`, `checkpoints/`, and `best/`: the
 * networks at their best evaluation. `kept/` has the learner at chosen iterations.
 */

import { z } from 'zod';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { Sliced } from '../../src/contract/sliced.ts';
import type { Evaluation } from '../../src/package/manifest.ts';
import type { RunContext, RunResult } from '../run/algorithm.ts';
import { type Checkpoints, createCheckpoints, type LoadedRun, loadRun } from '../run/checkpoints.ts';
import { hangOf } from '../run/environment/hang.ts';
import { moments } from '../run/evaluation.ts';
import { createEvaluations, type Evaluations, removeBestAfter } from '../run/evaluations.ts';
import { RunFailure } from '../run/failure.ts';
import { createKeptLearners, type KeptLearners, removeKeptAfter } from '../run/kept-learners.ts';
import type { MetricFiles } from '../run/metrics.ts';
import type { LatestReturn } from '../run/progress.ts';
import { openRecords } from '../run/records.ts';
import type { SavedState } from '../run/saved-state.ts';
import { integer, seedSetting, setting } from '../run/setting.ts';
import { runInTurns } from '../run/turns.ts';
import { createDivergenceWatch, type DivergenceWatch } from './divergence.ts';
import { failureOf, isInUpdate } from './loop-end.ts';

/** Each has its episodes at once with the others, and off policy a replay buffer. */
const taskCountMax = 10_000;

/** A number of tasks. */
export const taskCount = () => integer(1, taskCountMax);

export const iterationsSchema = z.strictObject({
  iterationCount: setting(integer(1), { flag: '--iterations <count>', help: 'iterations of the whole run' }),
  seed: seedSetting(),
  evaluationInterval: setting(integer(1), {
    flag: '--eval-every <iterations>',
    help: 'iterations between evaluations on test tasks; there is also one before the first and after the last iteration',
  }),
  evaluationTaskCount: setting(taskCount().optional(), {
    flag: '--eval-tasks <count>',
    help: 'test tasks of an evaluation',
    defaultText: "the environment's: 30, 10 of *-Rand-Params, or 2 directions",
  }),
  evaluationEpisodeCount: setting(integer(1), {
    flag: '--eval-episodes <count>',
    help: 'episodes of each test task, for each policy that is tested',
  }),
  checkpointInterval: setting(integer(1), {
    flag: '--checkpoint-every <iterations>',
    help: 'iterations between checkpoints; there are also those of --checkpoint-minutes and one at the end',
  }),
});

export type IterationsConfig = Readonly<z.infer<typeof iterationsSchema>>;

export const iterationsDefaults: IterationsConfig = {
  iterationCount: 400,
  seed: 0,
  evaluationInterval: 10,
  evaluationEpisodeCount: 20,
  checkpointInterval: 10,
};

export type IterativeLearner = {
  /**
   * A piece of an iteration, or the whole of it. If it throws or is ended between two slices, the next call goes on from there, or
   * does the piece again.
   * @param iteration from 0
   * @returns undefined while the iteration is not over
   */
  iterate(iteration: number): Sliced<IterationReport | undefined>;
  evaluate(iteration: number): Sliced<TaskEvaluation>;
  /** Everything that a resumed run needs, also between two pieces. */
  save(): SavedState;
  restore(saved: SavedState): void;
  /** The part of it that the best evaluation keeps. */
  saveNetworks(): SavedState;
  /** Flags of the learning rates, if it has critics whose values are watched: its reports then have `values`. */
  readonly rateFlags?: readonly string[];
};

export type IterationReport = {
  readonly metrics: Readonly<Record<string, number>>;
  /** Mean return of the newest training episodes, if there were any. */
  readonly latestReturn: LatestReturn | undefined;
  /** The iteration in words. */
  readonly text: string;
  /** Episodes that the simulator cut, as it became unstable. The loop records them as `divergedEpisodes`, and warns of more than none. */
  readonly divergedCount: number;
  /** What the critics' targets came to, and the largest |value| that rewards so far allow; none before there was a reward. */
  readonly values?: { readonly targetMean: number; readonly allowed: number } | undefined;
};

/** Episodes of test tasks. */
export type TaskEvaluation = {
  /** For each task, the mean return of the scored episodes: those after adaptation. */
  readonly returns: readonly number[];
  /** Means of the episodes before adaptation, as in an evaluation's record. */
  readonly before: Evaluation['before'];
  /** By name, as the command prints them. */
  readonly results: Readonly<Record<string, number>>;
  readonly metrics: Readonly<Record<string, number>>;
  readonly text: string;
  /** As of an iteration, but not recorded. */
  readonly divergedCount: number;
};

export type IterationsOptions = RunContext & {
  readonly learner: IterativeLearner;
  readonly config: IterationsConfig;
  /** Title of the learning curve. */
  readonly title: string;
};

type LoopState = {
  readonly seed: number;
  readonly seconds: number;
  readonly evaluations: readonly Evaluation[];
  readonly results: Readonly<Record<string, number>>;
  /** In the metric files; not in checkpoints of former versions. */
  readonly recordCount?: number;
};

type Resumed = LoadedRun<'learner'> & { readonly state: LoopState };

/**
 * Trains until the last iteration or the signal.
 * @throws RunFailure: an iteration or the last checkpoint failed; there is a checkpoint of what was done before if one could be
 *   written
 * @throws HyperpolicyError invalid_argument: a run directory that has a run already (without `resume`) or none (with it), a
 *   checkpoint that is damaged or of another seed
 */
export async function trainIterations(options: IterationsOptions): Promise<RunResult> {
  const resumed = options.resume === true ? await resume(options) : undefined;
  const files = openRecords(options, resumed && { step: resumed.step, recordCount: resumed.state.recordCount });
  try {
    return await runLoop(createLoop(options, files, resumed));
  } finally {
    files.close();
  }
}

async function resume({ runDirectory, config, learner }: IterationsOptions): Promise<Resumed> {
  const resumed = (await loadRun(runDirectory, ['learner'])) as Resumed;
  const { seed } = resumed.state;
  if (config.seed !== seed) {
    throw invalidArgument({
      where: 'resume: seed',
      expected: `${seed}, as the run began`,
      actual: `${config.seed}`,
    });
  }
  await removeBestAfter(runDirectory, resumed.step);
  await removeKeptAfter(runDirectory, resumed.step);
  learner.restore(resumed.parts.learner);
  return resumed;
}

type Loop = {
  readonly options: IterationsOptions;
  readonly evaluations: Evaluations;
  readonly checkpoints: Checkpoints;
  readonly kept: KeptLearners;
  readonly record: (metrics: Readonly<Record<string, number>>) => void;
  readonly recordCount: () => number;
  readonly seconds: () => number;
  readonly watchDivergence: DivergenceWatch;
  step: number;
  /** Results of the newest evaluation. */
  results: Readonly<Record<string, number>>;
  /** Whether there may be more than the newest checkpoint has: of the learner, or an evaluation. */
  hasChanged: boolean;
};

function createLoop(options: IterationsOptions, files: MetricFiles, resumed: Resumed | undefined): Loop {
  const { now = () => performance.now(), title } = options;
  const startedAt = now();
  const seconds = () => Math.round((resumed?.state.seconds ?? 0) * 1000 + now() - startedAt) / 1000;
  const loop: Loop = {
    options,
    evaluations: createEvaluations(options, {
      title,
      warmUpStepCount: 0,
      before: resumed?.state.evaluations ?? [],
    }),
    checkpoints: createCheckpoints(options, { now, files, resumedStep: resumed?.step }),
    kept: createKeptLearners(options, options.config.iterationCount),
    record: (metrics) => files.write({ step: loop.step, seconds: seconds(), ...metrics }),
    recordCount: () => files.recordCount,
    seconds,
    watchDivergence: createDivergenceWatch(options.learner.rateFlags ?? [], options.log),
    step: resumed?.step ?? 0,
    results: resumed?.state.results ?? {},
    hasChanged: false,
  };
  if (resumed !== undefined) loop.evaluations.noteCheckpoint();
  return loop;
}

async function runLoop(loop: Loop): Promise<RunResult> {
  const { config, signal } = loop.options;
  const firstStep = loop.step;
  let failure = await failureOf(() => runIterations(loop), signal);
  let checkpoint: string | undefined;
  try {
    if (!isInUpdate(failure)) checkpoint = await checkpointHere(loop);
  } catch (error) {
    failure ??= { cause: error };
  }
  failure ??= await hangOf(loop.options);
  await loop.evaluations.finish();
  const { list } = loop.evaluations;
  const result: RunResult = {
    step: loop.step,
    firstStep,
    aborted: loop.step < config.iterationCount || list.at(-1)?.step !== loop.step,
    evaluations: list,
    checkpoint,
    best: loop.evaluations.best(),
    results: loop.results,
  };
  if (failure !== undefined) throw new RunFailure(failure.cause, result, { isHeldBack: isInUpdate(failure) });
  return result;
}

async function runIterations(loop: Loop): Promise<void> {
  const { config, signal } = loop.options;
  // A run may resume at a step that is to be kept from now on.
  await keepHere(loop);
  if (isEvaluationDue(loop)) await evaluateHere(loop);
  while (loop.step < config.iterationCount && signal?.aborted !== true) {
    const isOver = await advance(loop);
    if (isOver && isEvaluationDue(loop)) await evaluateHere(loop);
    const hasCheckpoint = isOver && loop.step % config.checkpointInterval === 0;
    if (hasCheckpoint || loop.checkpoints.isDue()) {
      await loop.checkpoints.attempt(loop.step, () => checkpointHere(loop));
    }
  }
}

/** @returns whether an iteration is over */
async function advance(loop: Loop): Promise<boolean> {
  const { learner, reporter, signal } = loop.options;
  loop.hasChanged = true;
  const report = await runInTurns(learner.iterate(loop.step), signal);
  if (report === undefined) return false;
  loop.step += 1;
  loop.record({ ...report.metrics, divergedEpisodes: report.divergedCount });
  reporter?.report(loop.step, report.latestReturn);
  reporter?.print(`iteration ${loop.step}: ${report.text}`);
  warnOfDiverged(loop, report);
  if (report.values !== undefined) loop.watchDivergence(loop.step, report.values.targetMean, report.values.allowed);
  await keepHere(loop);
  return true;
}

async function keepHere({ kept, step, options: { learner } }: Loop): Promise<void> {
  if (kept.isReached({ from: step - 1, to: step })) await kept.keep(step, learner.saveNetworks());
}

function isEvaluationDue({ step, evaluations, options: { config } }: Loop): boolean {
  const hasOne = step % config.evaluationInterval === 0 || step >= config.iterationCount;
  return hasOne && evaluations.list.at(-1)?.step !== step;
}

async function evaluateHere(loop: Loop): Promise<void> {
  const { learner, config, reporter, signal } = loop.options;
  const evaluated = await runInTurns(learner.evaluate(loop.step), signal);
  const { returns, before, results, metrics, text } = evaluated;
  loop.hasChanged = true;
  const { meanReturn, standardDeviation } = moments(returns);
  loop.results = results;
  loop.record({ ...metrics, evaluationReturn: meanReturn, evaluationStandardDeviation: standardDeviation });
  reporter?.print(`iteration ${loop.step}: ${text}`);
  warnOfDiverged(loop, evaluated);
  const evaluation: Evaluation = {
    step: loop.step,
    meanReturn,
    standardDeviation,
    episodeCount: returns.length * config.evaluationEpisodeCount,
    ...(before !== undefined && { before }),
  };
  await loop.evaluations.add(evaluation, returns, () => learner.saveNetworks());
}

function warnOfDiverged(
  { step, options: { log } }: Loop,
  { divergedCount: divergedEpisodes }: Pick<IterationReport, 'divergedCount'>,
): void {
  if (divergedEpisodes > 0) log?.warn({ step, divergedEpisodes }, 'the simulator diverged; the episodes were cut');
}

async function checkpointHere(loop: Loop): Promise<string> {
  const { options, evaluations, results } = loop;
  const contents = async () => {
    const { seed } = options.config;
    const [seconds, recordCount] = [loop.seconds(), loop.recordCount()];
    const state: LoopState = { seed, seconds, evaluations: evaluations.list, results, recordCount };
    return { parts: { learner: options.learner.save() }, state };
  };
  const { path, isNew } = await loop.checkpoints.save(loop.step, contents, { hasChanged: loop.hasChanged });
  loop.hasChanged = false;
  if (isNew) evaluations.noteCheckpoint();
  return path;
}
