/**
 * The off-policy loop: environment steps and updates, with evaluations, metrics and checkpoints between. It knows no algorithm
 * (off-policy/learner.ts).
 *
 * Step t + 1 is simulated while the updates of step t run. Its actions were chosen before these updates, and they sample what was
 * stored up to step t. So a run is a function of its seed and settings, whichever threads step the environments and however fast
 * they are. An evaluation may run in a thread of its own, too: see evaluations-in-flight.ts. Updates that are taken in one run are
 * all of the step that makes their number whole.
 *
 * A run directory holds `metrics.jsonl`, `metrics.csv`, `tensorboard/`, `learning-curve.svg`, `checkpoints/`, and `best/`: the
 * learner at its best evaluation. `kept/` has the learner at chosen steps.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { createRandom, type Random } from '../../src/contract/random.ts';
import { specSizes } from '../../src/contract/tensor-spec.ts';
import { RefusedUpdate, takeUpdate } from '../off-policy/finite-loss.ts';
import type { OffPolicyLearner } from '../off-policy/learner.ts';
import { type Batch, createBatch } from '../replay/batch.ts';
import { createReplayBuffer, type ReplayBuffer, type ReplayState } from '../replay/replay-buffer.ts';
import type { VectorEnv } from '../rollout/vector-env.ts';
import type { RunContext, RunResult } from '../run/algorithm.ts';
import { type Checkpoints, createCheckpoints, type LoadedRun, loadRun } from '../run/checkpoints.ts';
import { hangOf } from '../run/environment/hang.ts';
import { removeBestAfter } from '../run/evaluations.ts';
import type { Evaluator } from '../run/evaluator.ts';
import { RunFailure } from '../run/failure.ts';
import { createKeptLearners, type KeptLearners, removeKeptAfter } from '../run/kept-learners.ts';
import type { MetricFiles } from '../run/metrics.ts';
import { openRecords } from '../run/records.ts';
import { type Collector, createCollector } from './collector.ts';
import { createDivergenceWatch, type DivergenceWatch } from './divergence.ts';
import { DueUpdates, turnIntervalMs } from './due-updates.ts';
import { createEvaluationsInFlight, type EvaluationsInFlight, type EvaluationsState } from './evaluations-in-flight.ts';
import { failureOf, isInUpdate } from './loop-end.ts';
import {
  checkLoopConfig,
  checkSameRun,
  decidingSettings,
  type OffPolicyConfig,
  updatesPerRunOf,
} from './off-policy-config.ts';

export type RunOptions = RunContext & {
  /** Stepped by training alone. */
  readonly envs: VectorEnv;
  /** Evaluates the learner on other instances of the same environment. */
  readonly evaluator: Evaluator;
  readonly learner: OffPolicyLearner;
  readonly config: OffPolicyConfig;
};

const streams = { sampling: 4, learning: 5 };
const partNames = ['learner', 'replay', 'collector', 'evaluations'] as const;

/** The loop's own state in a checkpoint. */
type LoopState = {
  readonly config: ReturnType<typeof decidingSettings>;
  readonly seconds: number;
  readonly updateCount: number;
  /** In the metric files. */
  readonly recordCount: number;
  readonly positions: { readonly sampling: number; readonly learning: number };
};

/** How far a step has come. */
type Extent = { readonly updateCount: number; readonly evaluationCount: number };

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
  const files = openRecords(options, resumed && { step: resumed.step, recordCount: resumed.state.recordCount });
  try {
    const loop = await createLoop(options, files, resumed);
    if (resumed !== undefined) await restore(loop, resumed);
    return await runLoop(loop);
  } finally {
    files.close();
  }
}

async function resume({ runDirectory, config }: RunOptions): Promise<Resumed> {
  const resumed = (await loadRun(runDirectory, partNames)) as Resumed;
  checkSameRun(config, resumed.state.config);
  await removeBestAfter(runDirectory, resumed.step);
  await removeKeptAfter(runDirectory, resumed.step);
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
  readonly evaluations: EvaluationsInFlight;
  readonly checkpoints: Checkpoints;
  readonly kept: KeptLearners;
  /** Seconds of training, stops left out. */
  readonly seconds: () => number;
  readonly recordCount: () => number;
  readonly record: (metrics: Readonly<Record<string, number>>) => void;
  readonly updates: DueUpdates;
  readonly watchDivergence: DivergenceWatch;
  step: number;
  /** What the newest checkpoint has: a step may end with some of its updates, and an evaluation of it after it. */
  saved: Extent;
};

async function createLoop(options: RunOptions, files: MetricFiles, resumed: Resumed | undefined): Promise<Loop> {
  const { envs, learner, config, now = () => performance.now() } = options;
  const sizes = specSizes(envs.specs);
  const replay = createReplayBuffer({ capacity: config.replayCapacity, ...sizes });
  const startedAt = now();
  const seconds = () => Math.round((resumed?.state.seconds ?? 0) * 1000 + now() - startedAt) / 1000;
  const evaluations = createEvaluationsInFlight(options, {
    title: envs.name,
    write: (record) => files.write(record),
    saved: resumed?.parts.evaluations.state as EvaluationsState | undefined,
  });
  const loop: Loop = {
    options,
    now,
    replay,
    collector: await createCollector({ envs, learner, replay, seed: config.seed }),
    batch: createBatch({ size: config.batchSize, ...sizes }),
    random: {
      sampling: createRandom(config.seed, streams.sampling),
      learning: createRandom(config.seed, streams.learning),
    },
    evaluations,
    checkpoints: createCheckpoints(options, { now, files, resumedStep: resumed?.step }),
    kept: createKeptLearners(options, options.config.stepCount),
    seconds,
    recordCount: () => files.recordCount,
    record: (metrics) => evaluations.record({ step: loop.step, seconds: seconds(), ...metrics }),
    updates: new DueUpdates(config, {
      take: () => takeUpdate(() => learn(loop)),
      count: resumed?.state.updateCount ?? 0,
      now,
    }),
    step: resumed?.step ?? 0,
    watchDivergence: createDivergenceWatch(['--critic-lr', '--actor-lr'], options.log),
    saved: { updateCount: resumed?.state.updateCount ?? 0, evaluationCount: evaluations.list.length },
  };
  return loop;
}

async function restore(loop: Loop, { parts, state: { positions } }: Resumed): Promise<void> {
  await loop.evaluations.restore(parts.evaluations);
  loop.options.learner.restore(parts.learner);
  loop.replay.restore(parts.replay as ReplayState);
  await loop.collector.restore(parts.collector);
  loop.random.sampling.position = positions.sampling;
  loop.random.learning.position = positions.learning;
  loop.evaluations.noteCheckpoint();
}

async function runLoop(loop: Loop): Promise<RunResult> {
  const { signal } = loop.options;
  const firstStep = loop.step;
  let failure = await failureOf(() => runSteps(loop), signal);
  // The running evaluation may become the best one.
  if (failure !== undefined) await loop.evaluations.settle().catch(() => {});
  let checkpoint: string | undefined;
  try {
    if (!isInUpdate(failure)) checkpoint = await checkpointHere(loop);
  } catch (error) {
    failure ??= { cause: error };
  }
  failure ??= loop.collector.saveFailure ?? (await hangOf(loop.options));
  await loop.evaluations.finish();
  const result = resultOf(loop, { firstStep, checkpoint });
  if (failure !== undefined) throw new RunFailure(failure.cause, result, { isHeldBack: isInUpdate(failure) });
  return result;
}

/** Between two rounds the actions of the next step are chosen and the updates of the last one are done. */
async function runSteps(loop: Loop): Promise<void> {
  const { evaluations, checkpoints, collector, options } = loop;
  const { config } = options;
  choose(loop);
  await update(loop);
  for (;;) {
    // The signal came between two updates.
    if (!loop.updates.areTaken(loop.step)) return;
    if (isKept(loop)) await loop.kept.keep(loop.step, options.learner.save());
    if (isEvaluationDue(loop)) await evaluations.begin(loop.step, loop.seconds());
    if (loop.step >= config.stepCount) {
      await evaluations.settle();
      return;
    }
    if (isAborted(loop)) return;
    if (loop.step > 0 && (isReached(loop, config.checkpointInterval) || checkpoints.isDue())) {
      await checkpoints.attempt(loop.step, () => checkpointHere(loop));
      if (collector.saveFailure !== undefined) throw collector.saveFailure.cause;
    }
    await turn();
    if (evaluations.isOver) await evaluations.settle();
    if (isAborted(loop)) return;
    await advance(loop);
  }
}

function resultOf(
  { step, evaluations, options: { config } }: Loop,
  known: Pick<RunResult, 'firstStep' | 'checkpoint'>,
): RunResult {
  const last = evaluations.list.at(-1);
  return {
    ...known,
    step,
    // Every step is done, and the evaluation after the last one.
    aborted: !(step >= config.stepCount && last?.step === step),
    evaluations: evaluations.list,
    best: evaluations.best(),
    results: {
      ...(last !== undefined && { evaluationReturn: last.meanReturn }),
      ...(evaluations.outOfRangeReturn !== undefined && { outOfRangeReturn: evaluations.outOfRangeReturn }),
    },
  };
}

/** Environment steps and updates, until it is time for something else. The event loop has its turns while user code steps. */
async function advance(loop: Loop): Promise<void> {
  const { collector, options, evaluations, updates } = loop;
  const until = loop.now() + turnIntervalMs;
  do {
    // A step that has begun must end before the run does, and the updates before that.
    await update(loop, () => updates.areLong(loop.step));
    if (isAborted(loop)) return;
    collector.begin();
    try {
      while (updates.takeSlice(loop.step)) await turn();
    } catch (error) {
      // The step ends all the same, since a checkpoint is written next. The first error is reported.
      await finishStep(loop).catch(() => {});
      throw error;
    }
    await finishStep(loop);
    choose(loop);
    options.reporter?.report(loop.step, evaluations.latestReturn);
  } while (!isDue(loop) && loop.now() < until);
  await update(loop);
}

const isAborted = ({ options: { signal } }: Loop): boolean => signal?.aborted === true;

const choose = ({ collector, step, options: { config } }: Loop) => collector.choose(step < config.warmUpStepCount);

/** Takes updates that are due, with turns of the event loop between, while `isWanted` and until the signal. */
async function update(loop: Loop, isWanted = () => true): Promise<void> {
  while (isWanted() && loop.updates.takeSlice(loop.step)) {
    await turn();
    if (isAborted(loop)) return;
  }
}

function learn(loop: Loop): void {
  const { replay, random, batch, options } = loop;
  const updatesPerRun = updatesPerRunOf(options.config);
  if (replay.count === 0) throw nothingKept(options.envs.name);
  replay.sample(random.sampling, batch);
  const metrics = options.learner.learn(batch, random.learning);
  const lost = Object.entries(metrics ?? {}).find(([, value]) => !Number.isFinite(value));
  if (lost !== undefined) throw new Error(`${lost[0]}: expected a finite metric, got ${lost[1]}`);
  if (metrics === null) return;
  loop.record(updatesPerRun === 1 ? metrics : { ...metrics, updatesPerRun });
  const { targetMean } = metrics;
  if (targetMean === undefined || replay.largestReward === 0) return;
  loop.watchDivergence(loop.step, targetMean, options.learner.largestValue(replay.largestReward));
}

const nothingKept = (where: string) =>
  new RefusedUpdate({
    kind: 'failed_precondition',
    where,
    expected: 'a transition to learn from',
    actual: 'none: the simulator diverged in every step',
    remedy: 'An environment file says so by advance, which returns false, or by diverged in what step gives',
  });

async function finishStep(loop: Loop): Promise<void> {
  const { collector, evaluations, options } = loop;
  while (!collector.isReady(turnIntervalMs)) await turn();
  const finished = collector.finish();
  loop.step += collector.environmentCount;
  for (const { episodeReturn, episodeLength, diverged } of finished) {
    evaluations.latestReturn = { of: 'training', value: episodeReturn };
    loop.record({ episodeReturn, episodeLength });
    if (diverged) options.log?.warn({ step: loop.step, episodeLength }, 'the simulator diverged; the episode was cut');
  }
}

/** Whether the last step, of all environments, reached a multiple of the interval. */
const isReached = ({ step, collector }: Loop, interval: number): boolean =>
  Math.floor(step / interval) > Math.floor((step - collector.environmentCount) / interval);

/** Whether the learner of this step is kept. */
const isKept = ({ step, collector, kept }: Loop): boolean =>
  kept.isReached({ from: step - collector.environmentCount, to: step });

/** Whether this step has an evaluation that is still to be made. */
function isEvaluationDue(loop: Loop): boolean {
  const { stepCount, evaluationInterval } = loop.options.config;
  const hasOne = isReached(loop, evaluationInterval) || loop.step >= stepCount;
  return hasOne && loop.evaluations.latestStep !== loop.step;
}

function isDue(loop: Loop): boolean {
  const { stepCount, evaluationInterval, checkpointInterval } = loop.options.config;
  const isAtInterval = isReached(loop, evaluationInterval) || isReached(loop, checkpointInterval);
  return loop.step >= stepCount || isAtInterval || isKept(loop);
}

async function checkpointHere(loop: Loop): Promise<string> {
  const { options, random, evaluations } = loop;
  const { count: updateCount } = loop.updates;
  const contents = async () => {
    const state: LoopState = {
      config: decidingSettings(options.config),
      seconds: loop.seconds(),
      updateCount,
      recordCount: loop.recordCount(),
      positions: { sampling: random.sampling.position, learning: random.learning.position },
    };
    const parts = {
      learner: options.learner.save(),
      replay: loop.replay.save(),
      collector: await loop.collector.save(),
      evaluations: evaluations.save(loop.step),
    };
    return { parts, state };
  };
  const evaluationCount = evaluations.list.length;
  const hasChanged = updateCount !== loop.saved.updateCount || evaluationCount !== loop.saved.evaluationCount;
  const { path, isNew } = await loop.checkpoints.save(loop.step, contents, { hasChanged });
  loop.saved = { updateCount, evaluationCount };
  if (isNew) evaluations.noteCheckpoint();
  return path;
}
