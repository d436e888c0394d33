/** One TD3 run from environment name to published package: wires the parts that the other files own. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createEnvironment } from '../src/envs/registry.ts';
import { failedPrecondition, invalidArgument } from '../src/spec/errors.ts';
import type { PublishedPackage } from '../src/spec/package.ts';
import type { Td3Config } from './algorithms/td3/config.ts';
import { createTd3Learner } from './algorithms/td3/learner.ts';
import { publishTd3 } from './algorithms/td3/publish.ts';
import { createEngine, type EngineName } from './engine/choose.ts';
import { openRunLog } from './run/logging.ts';
import { loadBestLearner, type OffPolicyConfig, type RunResult, trainOffPolicy } from './run/loop.ts';
import { createProgress, type ProgressStream } from './run/progress.ts';

/** All that decides a run's results, besides the machine; kept as `config.json` in the run directory. */
export type Td3RunConfig = {
  readonly environment: string;
  readonly algorithm: Td3Config;
  readonly loop: Omit<OffPolicyConfig, 'batchSize'>;
  /** Threads inside one operator. Results are bit-equal only for equal thread counts. */
  readonly threadCount: number;
  /** What computes the updates; `traced` where absent. */
  readonly engine?: EngineName;
};

export type PublishOptions = {
  readonly store: string;
  readonly model: string;
  /** The learner of the best evaluation after the warm-up, or that of the last step. */
  readonly which: 'best' | 'last';
};

export type TrainTd3Options = {
  readonly config: Td3RunConfig;
  readonly runDirectory: string;
  /** Where to publish at the end; nothing is published without it. */
  readonly publish?: PublishOptions | undefined;
  /** Go on from the run directory's newest checkpoint. */
  readonly resume?: boolean | undefined;
  /** Aborting leaves a checkpoint and publishes nothing. */
  readonly signal?: AbortSignal | undefined;
  /** Where progress is drawn, usually `process.stderr`. */
  readonly stream: ProgressStream;
};

export type TrainTd3Result = { readonly run: RunResult; readonly published: PublishedPackage | undefined };

/** Warm-up [C], evaluation and length as in the paper; replay as upstream. Source: Sarafian et al. 2021, appendix. */
export const offPolicyDefaults: Omit<OffPolicyConfig, 'batchSize'> = {
  stepCount: 1_000_000,
  warmUpStepCount: 1_000,
  evaluationInterval: 5_000,
  evaluationEpisodeCount: 10,
  replayCapacity: 1_000_000,
  seed: 0,
  checkpointInterval: 50_000,
};

/**
 * Trains, and publishes where asked.
 * @throws HyperpolicyError: an unknown environment or critic, a run directory with or without a run against `resume`,
 *   a config value out of range, a store that cannot be written
 */
export async function trainTd3(options: TrainTd3Options): Promise<TrainTd3Result> {
  const { config, runDirectory, stream, signal, resume } = options;
  const { environment, algorithm, loop, threadCount } = config;
  const env = await createEnvironment(environment);
  const evaluationEnv = await createEnvironment(environment);
  const engine = await createEngine(config.engine ?? 'traced', { threadCount });
  const learner = createTd3Learner({ config: algorithm, specs: env.specs, engine, seed: loop.seed });
  const progress = createProgress({
    stream,
    label: environment,
    stepCount: loop.stepCount,
    now: () => performance.now(),
  });
  mkdirSync(runDirectory, { recursive: true });
  const log = openRunLog({ directory: runDirectory, warn: progress.print });
  try {
    if (resume !== true) refuseSecondRun(runDirectory);
    writeRunConfig(runDirectory, config);
    log.info({ config, resume }, 'training starts');
    const run = await trainOffPolicy({
      env,
      evaluationEnv,
      learner,
      config: { ...loop, batchSize: algorithm.batchSize },
      runDirectory,
      signal,
      resume,
      reporter: progress,
      log,
    });
    progress.finish();
    if (run.aborted || options.publish === undefined) return { run, published: undefined };
    const { store, model, which } = options.publish;
    if (which === 'best' && run.best !== undefined) learner.restore(await loadBestLearner(runDirectory, run.best));
    const published = await publishTd3({
      store,
      model,
      learner,
      environment,
      specs: env.specs,
      engine,
      training: {
        config: config as unknown as Record<string, unknown>,
        seed: loop.seed,
        steps: which === 'best' && run.best !== undefined ? run.best.step : run.step,
        evaluations: [...run.evaluations],
        sourceRevision: sourceRevision(),
      },
    });
    log.info({ directory: published.directory }, 'published');
    return { run, published };
  } finally {
    progress.finish();
    log.flush();
    learner.dispose();
    env.dispose();
    evaluationEnv.dispose();
  }
}

const configFile = 'config.json';

/**
 * The config that a run directory was begun with, to resume it.
 * @throws HyperpolicyError failed_precondition: no run there
 */
export function readRunConfig(runDirectory: string): Td3RunConfig {
  const path = join(runDirectory, configFile);
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Td3RunConfig;
  } catch (cause) {
    throw failedPrecondition({
      where: `resume: ${path}`,
      expected: 'the config of a run',
      actual: (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'no file' : (cause as Error).message,
      remedy: 'Start the run without --resume',
      cause,
    });
  }
}

function refuseSecondRun(runDirectory: string): void {
  try {
    readFileSync(join(runDirectory, configFile));
  } catch {
    return;
  }
  throw invalidArgument({
    where: `run directory "${runDirectory}"`,
    expected: 'an empty or new directory',
    actual: 'one with a run in it',
    remedy: 'Resume that run with --resume, or name another directory',
  });
}

const writeRunConfig = (runDirectory: string, config: Td3RunConfig): void =>
  writeFileSync(join(runDirectory, configFile), `${JSON.stringify(config, null, 2)}\n`);

/** The version-control revision of this code, where it runs from a checkout. */
function sourceRevision(): string {
  try {
    const options = { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'ignore'] as ['ignore', 'pipe', 'ignore'] };
    return execFileSync('git', ['rev-parse', 'HEAD'], options).toString().trim();
  } catch {
    return 'unknown';
  }
}
