/**
 * The loop of algorithms whose steps are whole iterations, each a function of the learner's state and its number: iterations, with
 * evaluations before and after adaptation, metrics and checkpoints between. It knows no algorithm.
 *
 * A run directory holds `metrics.jsonl`, `metrics.csv`, `tensorboard/`, `learning-curve.svg`, `checkpoints/`, and `best/`: the
 * learner at its best evaluation after adaptation.
 */

import { z } from 'zod';
import type { Sliced } from '../../src/advantages/policy-gradient.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { Evaluation } from '../../src/package/manifest.ts';
import type { RunContext, RunResult } from '../run/algorithm.ts';
import { type Checkpoints, createCheckpoints, type LoadedRun, loadRun } from '../run/checkpoints.ts';
import { createEvaluations, type Evaluations, removeBestAfter } from '../run/evaluations.ts';
import { RunFailure } from '../run/failure.ts';
import type { MetricFiles } from '../run/metrics.ts';
import { openRecords } from '../run/records.ts';
import type { SavedState } from '../run/saved-state.ts';
import { integer, setting } from '../run/setting.ts';
import { runInTurns } from '../run/turns.ts';

/** Seeds stay safe integers with the offsets that streams of their own add. */
const seedMax = Number.MAX_SAFE_INTEGER - 1_000_000;

export const iterationsSchema = z.strictObject({
  iterationCount: setting(integer(1), { flag: '--iterations <count>', help: 'iterations of the whole run' }),
  seed: setting(integer(0, seedMax), {
    flag: '--seed <number>',
    help: 'seed of everything random; equal seeds give equal runs. Evaluations use seed + 100',
  }),
  evaluationInterval: setting(integer(1), {
    flag: '--eval-every <iterations>',
    help: 'iterations between evaluations on test tasks; there is one before the first and one after the last too',
  }),
  evaluationTaskCount: setting(integer(1).optional(), {
    flag: '--eval-tasks <count>',
    help: 'test tasks of an evaluation',
    defaultText: "the environment's: 30, or 2 directions",
  }),
  evaluationEpisodeCount: setting(integer(1), {
    flag: '--eval-episodes <count>',
    help: 'episodes of each test task, before adaptation and again after it',
  }),
  checkpointInterval: setting(integer(1), {
    flag: '--checkpoint-every <iterations>',
    help: 'iterations between checkpoints, beside one every five minutes and one at the end',
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

/** Of each test task the mean return of its episodes, before and after adaptation, and the mean length of those after it. */
export type TestReturns = {
  readonly pre: readonly number[];
  readonly post: readonly number[];
  readonly lengths: readonly number[];
};

export type IterativeLearner = {
  /**
   * Where it throws or is ended between two slices, the learner is as before.
   * @param iteration from 0
   */
  iterate(iteration: number): Sliced<IterationMetrics>;
  /** Episodes of every test task, before and after adaptation. */
  evaluate(iteration: number): Sliced<TestReturns>;
  save(): SavedState;
  restore(saved: SavedState): void;
};

/** Metrics of an iteration; returns are means over its training tasks. */
export type IterationMetrics = Readonly<Record<string, number>> & {
  readonly preReturn: number;
  readonly postReturn: number;
};

export type IterationsOptions = RunContext & {
  readonly learner: IterativeLearner;
  readonly config: IterationsConfig;
  /** Of the learning curve. */
  readonly title: string;
};

type LoopState = {
  readonly seed: number;
  readonly seconds: number;
  readonly evaluations: readonly Evaluation[];
  readonly results: Readonly<Record<string, number>>;
};

type Resumed = LoadedRun<'learner'> & { readonly state: LoopState };

/**
 * Trains until the last iteration or the signal.
 * @throws RunFailure: an iteration or the last checkpoint failed; there is a checkpoint of the last whole iteration if one could be
 *   written
 * @throws HyperpolicyError invalid_argument: a run directory that has a run already (without `resume`) or none (with it), a
 *   checkpoint that is damaged or of another seed
 */
export async function trainIterations(options: IterationsOptions): Promise<RunResult> {
  const resumed = options.resume === true ? await resume(options) : undefined;
  const files = openRecords(options, resumed);
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
  learner.restore(resumed.parts.learner);
  return resumed;
}

type Loop = {
  readonly options: IterationsOptions;
  readonly evaluations: Evaluations;
  readonly checkpoints: Checkpoints;
  readonly record: (metrics: Readonly<Record<string, number>>) => void;
  readonly seconds: () => number;
  step: number;
  /** Of the newest evaluation. */
  results: Readonly<Record<string, number>>;
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
    record: (metrics) => files.write({ step: loop.step, seconds: seconds(), ...metrics }),
    seconds,
    step: resumed?.step ?? 0,
    results: resumed?.state.results ?? {},
  };
  if (resumed !== undefined) loop.evaluations.noteCheckpoint();
  return loop;
}

async function runLoop(loop: Loop): Promise<RunResult> {
  const { config, signal } = loop.options;
  const firstStep = loop.step;
  let failure: { readonly cause: unknown } | undefined;
  try {
    if (isEvaluationDue(loop)) await evaluateHere(loop);
    while (loop.step < config.iterationCount && signal?.aborted !== true) {
      await advance(loop);
      if (isEvaluationDue(loop)) await evaluateHere(loop);
      if (loop.step % config.checkpointInterval === 0 || loop.checkpoints.isDue()) await tryCheckpoint(loop);
    }
  } catch (error) {
    // What was cut is done again by whoever goes on from the checkpoint.
    if (signal?.aborted !== true) failure = { cause: error };
  }
  let checkpoint: string | undefined;
  try {
    checkpoint = await checkpointHere(loop);
  } catch (error) {
    failure ??= { cause: error };
  }
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
  if (failure !== undefined) throw new RunFailure(failure.cause, result);
  return result;
}

async function advance(loop: Loop): Promise<void> {
  const { learner, reporter, signal } = loop.options;
  const metrics = await runInTurns(learner.iterate(loop.step), signal);
  loop.step += 1;
  loop.record(metrics);
  const { preReturn, postReturn } = metrics;
  reporter?.report(loop.step, [preReturn, postReturn]);
  reporter?.print(
    `iteration ${loop.step}: training tasks ${preReturn.toFixed(1)} before, ${postReturn.toFixed(1)} after`,
  );
}

function isEvaluationDue({ step, evaluations, options: { config } }: Loop): boolean {
  const hasOne = step % config.evaluationInterval === 0 || step >= config.iterationCount;
  return hasOne && evaluations.list.at(-1)?.step !== step;
}

async function evaluateHere(loop: Loop): Promise<void> {
  const { learner, config, reporter, signal } = loop.options;
  const { pre, post } = await runInTurns(learner.evaluate(loop.step), signal);
  const [before, after] = [moments(pre), moments(post)];
  loop.results = { preReturn: before.mean, postReturn: after.mean };
  loop.record({
    testPreReturn: before.mean,
    testPostReturn: after.mean,
    testPreDeviation: before.deviation,
    testPostDeviation: after.deviation,
    evaluationReturn: after.mean,
    evaluationStandardDeviation: after.deviation,
  });
  reporter?.print(
    `iteration ${loop.step}: test tasks ${before.mean.toFixed(1)} before, ${after.mean.toFixed(1)} after`,
  );
  const episodeCount = post.length * config.evaluationEpisodeCount;
  const evaluation: Evaluation = {
    step: loop.step,
    meanReturn: after.mean,
    standardDeviation: after.deviation,
    episodeCount,
    before: { meanReturn: before.mean, standardDeviation: before.deviation },
  };
  await loop.evaluations.add(evaluation, post, () => learner.save());
}

/** Mean and standard deviation, dividing by the count. */
export function moments(values: readonly number[]): { readonly mean: number; readonly deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

/** A full disk may have room again at the next one: training goes on. */
async function tryCheckpoint(loop: Loop): Promise<void> {
  try {
    await checkpointHere(loop);
  } catch (error) {
    loop.checkpoints.postpone();
    const { step, options } = loop;
    options.log?.warn({ step, error: (error as Error).message }, 'no checkpoint could be written; training goes on');
  }
}

async function checkpointHere(loop: Loop): Promise<string> {
  const { options, evaluations, results } = loop;
  const { path, isNew } = await loop.checkpoints.save(loop.step, () => {
    const { seed } = options.config;
    const state: LoopState = { seed, seconds: loop.seconds(), evaluations: evaluations.list, results };
    return { parts: { learner: options.learner.save() }, state };
  });
  if (isNew) evaluations.noteCheckpoint();
  return path;
}
