/**
 * The off-policy loop: one environment step, then one update, with evaluations, metrics and checkpoints between. It knows
 * no algorithm (learner.ts) and does nothing asynchronous inside a step; the event loop gets a turn every 50 ms.
 *
 * A run directory holds `metrics.jsonl`, `metrics.csv`, `learning-curve.svg`, `checkpoints/`, and `best/`: the learner at
 * its best evaluation.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { invalidArgument } from '../../src/contract/errors.ts';
import { createRandom } from '../../src/contract/random.ts';
import { specSize } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import type { Evaluation } from '../../src/package/manifest.ts';
import { createBatch } from '../replay/batch.ts';
import { createReplayBuffer, type ReplayState } from '../replay/replay-buffer.ts';
import {
  type Checkpoint,
  loadCheckpoint,
  loadNewestCheckpoint,
  removeCheckpointsAfter,
  saveCheckpoint,
} from './checkpoint.ts';
import { createCollector } from './collector.ts';
import { evaluate } from './evaluation.ts';
import type { OffPolicyLearner, SavedState } from './learner.ts';
import { type MetricFiles, openMetricFiles } from './metrics.ts';
import { joinParts, splitParts } from './parts.ts';
import { learningCurve } from './plot.ts';
import type { Progress } from './progress.ts';

export type OffPolicyConfig = {
  /** Environment steps of the whole run. */
  readonly stepCount: number;
  /** Steps with uniform actions before the first update. */
  readonly warmUpStepCount: number;
  readonly batchSize: number;
  /** Steps between evaluations; there is one before the first step and one after the last too. */
  readonly evaluationInterval: number;
  readonly evaluationEpisodeCount: number;
  /** Transitions. */
  readonly replayCapacity: number;
  /** Of everything that the loop draws; evaluations use seed + 100. */
  readonly seed: number;
  /** Steps between checkpoints; there is one at the end too. */
  readonly checkpointInterval: number;
};

export type RunOptions = {
  /** Stepped by training alone. */
  readonly env: Env;
  /** Another instance of the same environment. */
  readonly evaluationEnv: Env;
  readonly learner: OffPolicyLearner;
  readonly config: OffPolicyConfig;
  readonly runDirectory: string;
  /** Aborting writes a checkpoint and ends the run. */
  readonly signal?: AbortSignal | undefined;
  /** Goes on from the newest checkpoint of the run directory, bit-equal to a run that was never stopped. */
  readonly resume?: boolean | undefined;
  readonly reporter?: Pick<Progress, 'report' | 'print'> | undefined;
  readonly log?: RunLog | undefined;
  /** Time between checkpoints, beside those by steps: the most that a kill can lose. Five minutes unless given. */
  readonly checkpointIntervalMs?: number | undefined;
  /** Milliseconds; only differences matter. */
  readonly now?: (() => number) | undefined;
};

/** What the loop needs of a logger; pino's has it. */
export type RunLog = { info(fields: object, message: string): void; warn(fields: object, message: string): void };

export type RunResult = {
  /** Environment steps done. */
  readonly step: number;
  /** The step that it began with: 0, or that of the checkpoint. */
  readonly firstStep: number;
  /** True where the signal ended the run before its last step. */
  readonly aborted: boolean;
  readonly evaluations: readonly Evaluation[];
  /** The newest checkpoint's directory. */
  readonly checkpoint: string;
  /** The best evaluation after the warm-up, if there was one; {@link loadBestLearner} has the learner of that step. */
  readonly best: Evaluation | undefined;
};

const bestDirectory = (runDirectory: string) => join(runDirectory, 'best');

/**
 * The learner's state at the run's best evaluation.
 * @throws HyperpolicyError invalid_argument: it is missing or damaged
 */
export const loadBestLearner = (runDirectory: string, best: Evaluation): Promise<SavedState> =>
  loadCheckpoint(join(bestDirectory(runDirectory), String(best.step)));

const streams = { sampling: 4, learning: 5 };
const turnIntervalMs = 50;

type LoopState = {
  readonly config: OffPolicyConfig;
  readonly seconds: number;
  readonly positions: { readonly sampling: number; readonly learning: number };
  readonly evaluations: readonly Evaluation[];
};

/**
 * Trains until the last step or the signal.
 * @throws HyperpolicyError invalid_argument: a config value out of range, a run directory that has a run already (without
 *   `resume`) or none (with it), a checkpoint that is damaged or of another config; failed_precondition: the directory cannot be written
 */
export async function trainOffPolicy(options: RunOptions): Promise<RunResult> {
  const { config, runDirectory } = options;
  checkConfig(config);
  const resumed = options.resume === true ? await loadRun(runDirectory, config) : undefined;
  if (resumed !== undefined) await removeCheckpointsAfter(bestDirectory(runDirectory), resumed.step);
  const files = openMetricFiles({ directory: runDirectory, resumeStep: resumed?.step });
  try {
    return await createLoop(options, files, resumed).run();
  } finally {
    files.close();
  }
}

function createLoop(
  options: RunOptions,
  files: MetricFiles,
  resumed: LoadedRun | undefined,
): { run(): Promise<RunResult> } {
  const { env, evaluationEnv, learner, config, runDirectory, signal, reporter, log } = options;
  const { now = () => performance.now(), checkpointIntervalMs = 300_000 } = options;
  const sizes = { observationSize: specSize(env.specs.observation), actionSize: specSize(env.specs.action) };
  const replay = createReplayBuffer({ capacity: config.replayCapacity, ...sizes });
  const collector = createCollector({ env, learner, replay, seed: config.seed });
  const batch = createBatch({ size: config.batchSize, ...sizes });
  const sampling = createRandom(config.seed, streams.sampling);
  const learning = createRandom(config.seed, streams.learning);
  const evaluations: Evaluation[] = [];
  let step = 0;
  let secondsBefore = 0;
  let savedStep = -1;
  let savedAt = now();
  let latestReturn: number | undefined;
  // A run resumed from a checkpoint must find the best learner of then, however many came after.
  let bestAtCheckpoints: readonly number[] = [];

  if (resumed !== undefined) {
    learner.restore(resumed.parts.learner);
    replay.restore(resumed.parts.replay as ReplayState);
    collector.restore(resumed.parts.collector);
    sampling.position = resumed.loop.positions.sampling;
    learning.position = resumed.loop.positions.learning;
    evaluations.push(...resumed.loop.evaluations);
    secondsBefore = resumed.loop.seconds;
    step = resumed.step;
    savedStep = resumed.step;
    latestReturn = evaluations.at(-1)?.meanReturn;
    keepBest();
  }

  /** Notes the best learner that a checkpoint of this step names, beside that of the checkpoint before. */
  function keepBest(): void {
    const best = bestEvaluation();
    bestAtCheckpoints = [...bestAtCheckpoints.slice(-1), ...(best === undefined ? [] : [best.step])];
  }

  const startedAt = now();
  const seconds = () => Math.round(secondsBefore * 1000 + now() - startedAt) / 1000;
  const record = (metrics: Readonly<Record<string, number>>) => files.write({ step, seconds: seconds(), ...metrics });

  /** The best evaluation of a policy that has learnt something. */
  function bestEvaluation(): Evaluation | undefined {
    return evaluations
      .filter((evaluation) => evaluation.step > config.warmUpStepCount)
      .reduce<Evaluation | undefined>(
        (best, next) => (best === undefined || next.meanReturn >= best.meanReturn ? next : best),
        undefined,
      );
  }

  async function evaluateHere(): Promise<void> {
    const { evaluationEpisodeCount: episodeCount, seed } = config;
    const act = learner.act.bind(learner);
    const result = await evaluate({ env: evaluationEnv, act, episodeCount, seed: seed + 100 });
    const { meanReturn, standardDeviation } = result;
    evaluations.push({ step, meanReturn, standardDeviation, episodeCount });
    latestReturn = meanReturn;
    const evaluationLength = result.lengths.reduce((sum, length) => sum + length, 0) / episodeCount;
    record({ evaluationReturn: meanReturn, evaluationStandardDeviation: standardDeviation, evaluationLength });
    writeFileSync(join(runDirectory, 'learning-curve.svg'), learningCurve(evaluations, env.name));
    log?.info({ step, meanReturn, standardDeviation, returns: result.returns }, 'evaluation');
    // The latest of equals, so that the state on disk is the one that is named.
    if (bestEvaluation()?.step === step) {
      await saveCheckpoint(bestDirectory(runDirectory), { step, ...learner.save() }, { keepSteps: bestAtCheckpoints });
    }
    reporter?.print(
      `step ${step}: evaluation return ${meanReturn.toFixed(1)} +- ${standardDeviation.toFixed(1)} over ${episodeCount} episodes`,
    );
  }

  async function checkpointHere(): Promise<string> {
    const directory = join(runDirectory, 'checkpoints');
    if (savedStep === step) return join(directory, String(step));
    files.flush();
    const positions = { sampling: sampling.position, learning: learning.position };
    const state: LoopState = { config, seconds: seconds(), positions, evaluations };
    const parts = { learner: learner.save(), replay: replay.save(), collector: collector.save() };
    const path = await saveCheckpoint(directory, { step, ...joinParts(parts, state) });
    savedStep = step;
    savedAt = now();
    keepBest();
    log?.info({ step, path }, 'checkpoint');
    return path;
  }

  /** Environment steps and updates, until it is time for something else. */
  function advance(): void {
    const until = now() + turnIntervalMs;
    do {
      const finished = collector.step(step < config.warmUpStepCount);
      step += 1;
      if (finished !== null) {
        const { episodeReturn, episodeLength, diverged } = finished;
        latestReturn = episodeReturn;
        record({ episodeReturn, episodeLength });
        if (diverged) log?.warn({ step, episodeLength }, 'the simulator diverged; the episode was cut');
      }
      if (step > config.warmUpStepCount) {
        replay.sample(sampling, batch);
        const metrics = learner.learn(batch, learning);
        if (metrics !== null) record(metrics);
      }
      reporter?.report(step, latestReturn);
    } while (!isDue(step) && now() < until);
  }

  const isDue = (at: number): boolean =>
    at >= config.stepCount || at % config.evaluationInterval === 0 || at % config.checkpointInterval === 0;

  return {
    async run() {
      const firstStep = step;
      if (evaluations.length === 0) await evaluateHere();
      while (step < config.stepCount && signal?.aborted !== true) {
        advance();
        if (step % config.evaluationInterval === 0 || step === config.stepCount) await evaluateHere();
        if (step % config.checkpointInterval === 0 || now() - savedAt >= checkpointIntervalMs) await checkpointHere();
        await turn();
      }
      const checkpoint = await checkpointHere();
      return { step, firstStep, aborted: step < config.stepCount, evaluations, checkpoint, best: bestEvaluation() };
    },
  };
}

type LoadedRun = {
  readonly step: number;
  readonly loop: LoopState;
  readonly parts: { readonly learner: SavedState; readonly replay: SavedState; readonly collector: SavedState };
};

async function loadRun(runDirectory: string, config: OffPolicyConfig): Promise<LoadedRun> {
  const directory = join(runDirectory, 'checkpoints');
  const checkpoint: Checkpoint | null = await loadNewestCheckpoint(directory);
  if (checkpoint === null) {
    throw invalidArgument({
      where: `resume: ${directory}`,
      expected: 'a checkpoint',
      actual: 'none',
      remedy: 'Start the run without resuming',
    });
  }
  const { parts, state } = splitParts(checkpoint, ['learner', 'replay', 'collector']);
  const loop = state as LoopState;
  for (const name of ['seed', 'batchSize', 'warmUpStepCount', 'replayCapacity'] as const) {
    if (config[name] !== loop.config[name]) {
      throw invalidArgument({
        where: `resume: ${name}`,
        expected: `${loop.config[name]}, as the run began`,
        actual: `${config[name]}`,
      });
    }
  }
  return { step: checkpoint.step, loop, parts };
}

function checkConfig(config: OffPolicyConfig): void {
  for (const [name, value] of Object.entries(config)) {
    const min = name === 'warmUpStepCount' || name === 'seed' ? 0 : 1;
    if (!Number.isSafeInteger(value) || value < min) {
      throw invalidArgument({ where: `train: ${name}`, expected: `an integer of at least ${min}`, actual: `${value}` });
    }
  }
}
