/**
 * The off-policy loop: one environment step, then one update, with evaluations, metrics and checkpoints between. It knows no
 * algorithm (off-policy/learner.ts). Nothing inside a step is asynchronous; the event loop gets a turn every 50 ms.
 *
 * A run directory holds `metrics.jsonl`, `metrics.csv`, `tensorboard/`, `learning-curve.svg`, `checkpoints/`, and `best/`: the
 * learner at its best evaluation.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import { createRandom, type Random } from '../../src/contract/random.ts';
import type { Env } from '../../src/envs/env.ts';
import type { Evaluation } from '../../src/package/manifest.ts';
import type { LearnMetrics, OffPolicyLearner } from '../off-policy/learner.ts';
import { networkSizes } from '../off-policy/networks.ts';
import { type Batch, createBatch } from '../replay/batch.ts';
import { createReplayBuffer, type ReplayBuffer, type ReplayState } from '../replay/replay-buffer.ts';
import type { RunContext, RunResult } from '../run/algorithm.ts';
import { type Checkpoints, createCheckpoints, type LoadedRun, loadRun } from '../run/checkpoints.ts';
import { evaluate } from '../run/evaluation.ts';
import { createEvaluations, type Evaluations, removeBestAfter } from '../run/evaluations.ts';
import { RunFailure } from '../run/failure.ts';
import { tasksOutOfRange } from '../run/held-out-tasks.ts';
import type { MetricFiles } from '../run/metrics.ts';
import { openRecords } from '../run/records.ts';
import { type Collector, createCollector } from './collector.ts';
import { checkLoopConfig, checkSameRun, type OffPolicyConfig } from './off-policy-config.ts';

export type RunOptions = RunContext & {
  /** Stepped by training alone. */
  readonly env: Env;
  /** Another instance of the same environment. */
  readonly evaluationEnv: Env;
  readonly learner: OffPolicyLearner;
  readonly config: OffPolicyConfig;
};

const streams = { sampling: 4, learning: 5 };
const turnIntervalMs = 50;
const partNames = ['learner', 'replay', 'collector'] as const;

/** What a checkpoint keeps of the loop itself. */
type LoopState = {
  readonly config: OffPolicyConfig & { readonly updatesPerStep: number };
  readonly seconds: number;
  readonly positions: { readonly sampling: number; readonly learning: number };
  readonly evaluations: readonly Evaluation[];
  readonly outOfRangeReturn?: number;
};

type Resumed = LoadedRun<(typeof partNames)[number]> & { readonly state: LoopState };

/**
 * Trains until the last step or the signal.
 * @throws RunFailure: the environment failed, a loss is not finite, the last checkpoint cannot be written. There is a checkpoint then
 *   if one could be written, and what was best so far is kept
 * @throws HyperpolicyError invalid_argument: a config value out of range, a run directory that has a run already (without
 *   `resume`) or none (with it), a checkpoint that is damaged or of another config; failed_precondition: the directory cannot be written
 */
export async function trainOffPolicy(options: RunOptions): Promise<RunResult> {
  checkLoopConfig(options.config);
  const resumed = options.resume === true ? await resume(options) : undefined;
  const files = openRecords(options, resumed?.step);
  try {
    return await runLoop(createLoop(options, files, resumed));
  } finally {
    files.close();
  }
}

async function resume({ runDirectory, config }: RunOptions): Promise<Resumed> {
  const resumed = (await loadRun(runDirectory, partNames)) as Resumed;
  checkSameRun(config, resumed.state.config);
  await removeBestAfter(runDirectory, resumed.step);
  return resumed;
}

/** A run in progress. */
type Loop = {
  readonly options: RunOptions;
  readonly now: () => number;
  readonly replay: ReplayBuffer;
  readonly collector: Collector;
  readonly batch: Batch;
  readonly random: { readonly sampling: Random; readonly learning: Random };
  readonly evaluations: Evaluations;
  readonly checkpoints: Checkpoints;
  /** Of training, stops left out. */
  readonly seconds: () => number;
  readonly record: (metrics: Readonly<Record<string, number>>) => void;
  step: number;
  /** False where nobody knows what the learner has. */
  isSound: boolean;
  /** Of the newest episode or evaluation. */
  latestReturn: number | undefined;
  /** Of the newest evaluation, where the environment has tasks out of the training range. */
  outOfRangeReturn: number | undefined;
};

function createLoop(options: RunOptions, files: MetricFiles, resumed: Resumed | undefined): Loop {
  const { env, learner, config, now = () => performance.now() } = options;
  const sizes = networkSizes(env.specs);
  const replay = createReplayBuffer({ capacity: config.replayCapacity, ...sizes });
  const startedAt = now();
  const seconds = () => Math.round((resumed?.state.seconds ?? 0) * 1000 + now() - startedAt) / 1000;
  const loop: Loop = {
    options,
    now,
    replay,
    collector: createCollector({ env, learner, replay, seed: config.seed }),
    batch: createBatch({ size: config.batchSize, ...sizes }),
    random: {
      sampling: createRandom(config.seed, streams.sampling),
      learning: createRandom(config.seed, streams.learning),
    },
    evaluations: createEvaluations(options, {
      title: env.name,
      warmUpStepCount: config.warmUpStepCount,
      before: resumed?.state.evaluations ?? [],
    }),
    checkpoints: createCheckpoints(options, { now, files, resumedStep: resumed?.step }),
    seconds,
    record: (metrics) => files.write({ step: loop.step, seconds: seconds(), ...metrics }),
    step: resumed?.step ?? 0,
    isSound: true,
    latestReturn: resumed?.state.evaluations.at(-1)?.meanReturn,
    outOfRangeReturn: resumed?.state.outOfRangeReturn,
  };
  if (resumed !== undefined) restore(loop, resumed);
  return loop;
}

function restore(loop: Loop, { parts, state: { positions } }: Resumed): void {
  loop.options.learner.restore(parts.learner);
  loop.replay.restore(parts.replay as ReplayState);
  loop.collector.restore(parts.collector);
  loop.random.sampling.position = positions.sampling;
  loop.random.learning.position = positions.learning;
  loop.evaluations.noteCheckpoint();
}

async function runLoop(loop: Loop): Promise<RunResult> {
  const { evaluations, checkpoints, options } = loop;
  const { config, signal } = options;
  const firstStep = loop.step;
  let failure: { readonly cause: unknown } | undefined;
  try {
    if (isEvaluationDue(loop)) await evaluateHere(loop);
    while (loop.step < config.stepCount && signal?.aborted !== true) {
      advance(loop);
      if (isEvaluationDue(loop)) await evaluateHere(loop);
      if (loop.step % config.checkpointInterval === 0 || checkpoints.isDue()) await tryCheckpoint(loop);
      await turn();
    }
  } catch (error) {
    // An evaluation that was cut is done again by whoever goes on from the checkpoint.
    if (signal?.aborted !== true) failure = { cause: error };
  }
  let checkpoint: string | undefined;
  try {
    if (loop.isSound) checkpoint = await checkpointHere(loop);
  } catch (error) {
    failure ??= { cause: error };
  }
  await evaluations.finish();
  const last = evaluations.list.at(-1);
  const result: RunResult = {
    step: loop.step,
    firstStep,
    aborted: !isComplete(loop),
    evaluations: evaluations.list,
    checkpoint,
    best: evaluations.best(),
    results: {
      ...(last !== undefined && { evaluationReturn: last.meanReturn }),
      ...(loop.outOfRangeReturn !== undefined && { outOfRangeReturn: loop.outOfRangeReturn }),
    },
  };
  if (failure !== undefined) throw new RunFailure(failure.cause, result);
  return result;
}

function learn(loop: Loop): LearnMetrics | null {
  try {
    const metrics = loop.options.learner.learn(loop.batch, loop.random.learning);
    const lost = Object.entries(metrics ?? {}).find(([, value]) => !Number.isFinite(value));
    if (lost !== undefined) throw new Error(`${lost[0]}: expected a finite metric, got ${lost[1]}`);
    return metrics;
  } catch (error) {
    // An update that was refused is not taken; any other fault may have come in the middle of one.
    loop.isSound = error instanceof HyperpolicyError;
    throw error;
  }
}

/** Every step done, and the evaluation after the last one. */
const isComplete = ({ step, evaluations, options: { config } }: Loop): boolean =>
  step >= config.stepCount && evaluations.list.at(-1)?.step === step;

/** Whether this step has an evaluation that is still to be made. */
function isEvaluationDue({ step, evaluations, options: { config } }: Loop): boolean {
  const hasOne = step % config.evaluationInterval === 0 || step >= config.stepCount;
  return hasOne && evaluations.list.at(-1)?.step !== step;
}

/** Environment steps and updates, until it is time for something else. */
function advance(loop: Loop): void {
  const { collector, replay, batch, random, options } = loop;
  const { config, reporter } = options;
  const until = loop.now() + turnIntervalMs;
  do {
    const finished = collector.step(loop.step < config.warmUpStepCount);
    loop.step += 1;
    if (finished !== null) {
      const { episodeReturn, episodeLength, diverged } = finished;
      loop.latestReturn = episodeReturn;
      loop.record({ episodeReturn, episodeLength });
      if (diverged)
        options.log?.warn({ step: loop.step, episodeLength }, 'the simulator diverged; the episode was cut');
    }
    if (loop.step > config.warmUpStepCount) {
      for (let update = 0; update < (config.updatesPerStep ?? 1); update++) {
        replay.sample(random.sampling, batch);
        const metrics = learn(loop);
        if (metrics !== null) loop.record(metrics);
      }
    }
    reporter?.report(loop.step, loop.latestReturn);
  } while (!isDue(config, loop.step) && loop.now() < until);
}

const isDue = ({ stepCount, evaluationInterval, checkpointInterval }: OffPolicyConfig, step: number): boolean =>
  step >= stepCount || step % evaluationInterval === 0 || step % checkpointInterval === 0;

async function evaluateHere(loop: Loop): Promise<void> {
  const { evaluationEnv: env, learner, config, signal } = loop.options;
  const { evaluationEpisodeCount: episodeCount, seed } = config;
  const options = { env, act: learner.act.bind(learner), episodeCount, seed: seed + 100, signal };
  const { meanReturn, standardDeviation, returns, lengths } = await evaluate(options);
  const contexts = tasksOutOfRange(env.tasks, options);
  const outOfRange = contexts && (await evaluate({ ...options, contexts }));
  const evaluationLength = lengths.reduce((sum, length) => sum + length, 0) / episodeCount;
  loop.latestReturn = meanReturn;
  loop.outOfRangeReturn = outOfRange?.meanReturn;
  loop.record({
    evaluationReturn: meanReturn,
    evaluationStandardDeviation: standardDeviation,
    evaluationLength,
    ...(outOfRange && { outOfRangeReturn: outOfRange.meanReturn }),
  });
  const evaluation = { step: loop.step, meanReturn, standardDeviation, episodeCount };
  await loop.evaluations.add(evaluation, returns, () => learner.save());
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
  const { options, random, evaluations } = loop;
  const { path, isNew } = await loop.checkpoints.save(loop.step, () => {
    const positions = { sampling: random.sampling.position, learning: random.learning.position };
    const state: LoopState = {
      config: { ...options.config, updatesPerStep: options.config.updatesPerStep ?? 1 },
      seconds: loop.seconds(),
      positions,
      evaluations: evaluations.list,
      ...(loop.outOfRangeReturn !== undefined && { outOfRangeReturn: loop.outOfRangeReturn }),
    };
    const parts = { learner: options.learner.save(), replay: loop.replay.save(), collector: loop.collector.save() };
    return { parts, state };
  });
  if (isNew) evaluations.noteCheckpoint();
  return path;
}
