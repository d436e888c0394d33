/** One TD3 run from environment name to published package: wires the parts that the other files own. */

import { execFileSync } from 'node:child_process';
import { access, constants, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { failedPrecondition, invalidArgument } from '../src/contract/errors.ts';
import type { PolicySpecs } from '../src/contract/tensor-spec.ts';
import { createEnvironment } from '../src/envs/registry.ts';
import type { DeviceName } from '../src/onnx/providers.ts';
import { checkModelName, type PublishedPackage } from '../src/package/package.ts';
import type { Td3Config } from './algorithms/td3/config.ts';
import { createTd3Learner } from './algorithms/td3/learner.ts';
import { td3NetworkFiles } from './algorithms/td3/network-files.ts';
import { publishTd3 } from './algorithms/td3/publish.ts';
import { createEngine, type EngineName } from './engine/choose.ts';
import { openRunLog, type RunLogger } from './run/logging.ts';
import { loadBestLearner, type OffPolicyConfig, type RunResult, trainOffPolicy } from './run/loop.ts';
import { createProgress, type ProgressStream } from './run/progress.ts';
import { notePublication, type Publication, samePublication } from './run/publication.ts';
import { openRunDirectory, type RunDirectory } from './run/run-directory.ts';

/** All that decides a run's results, besides the machine; kept as `config.json` in the run directory. */
export type Td3RunConfig = {
  readonly environment: string;
  readonly algorithm: Td3Config;
  readonly loop: Omit<OffPolicyConfig, 'batchSize'>;
  /** Threads inside one operator. Results are bit-equal only for equal thread counts. */
  readonly threadCount: number;
  /** What computes the updates; `traced` where absent. */
  readonly engine?: EngineName;
  /** Where the traced engine computes the updates; `cpu` where absent. */
  readonly device?: DeviceName;
  /** Where to publish at the end; nothing is published without it. */
  readonly publish?: PublishOptions | undefined;
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
  /** Go on from the run directory's newest checkpoint. */
  readonly resume?: boolean | undefined;
  /** Aborting leaves a checkpoint and publishes nothing. */
  readonly signal?: AbortSignal | undefined;
  /** Where progress is drawn, usually `process.stderr`. */
  readonly stream: ProgressStream;
  /** Time between checkpoints, beside those by steps: the most that a kill can lose. */
  readonly checkpointIntervalMs?: number | undefined;
};

export type TrainTd3Result = {
  readonly run: RunResult;
  /** Undefined where nothing was to be published, or it is already. */
  readonly published: PublishedPackage | undefined;
  /** What an earlier start published of the same step, model and store. */
  readonly publishedBefore: Publication | undefined;
};

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
 * @throws HyperpolicyError: an unknown environment or critic, an environment with a context, a run directory with or without
 *   a run against `resume`, a config value out of range, a store that cannot be written
 */
export async function trainTd3(options: TrainTd3Options): Promise<TrainTd3Result> {
  const { config, runDirectory, stream, signal, resume = false } = options;
  const { environment, algorithm, loop, threadCount, device, publish } = config;
  // Before hours of training, not after them.
  if (publish !== undefined) await checkPublishable(publish);
  const env = await createEnvironment(environment);
  try {
    checkNoContext(environment, env.specs);
  } catch (error) {
    env.dispose();
    throw error;
  }
  const evaluationEnv = await createEnvironment(environment);
  const engine = await createEngine(config.engine ?? 'traced', { threadCount, device });
  const learner = createTd3Learner({ config: algorithm, specs: env.specs, engine, seed: loop.seed });
  const progress = createProgress({
    stream,
    label: environment,
    stepCount: loop.stepCount,
    now: () => performance.now(),
  });
  let directory: RunDirectory | undefined;
  let log: RunLogger | undefined;
  try {
    directory = await openRunDirectory(runDirectory, { config, resume });
    log = openRunLog({ directory: runDirectory, warn: progress.print });
    log.info({ config, resume }, 'training starts');
    const run = await trainOffPolicy({
      env,
      evaluationEnv,
      learner,
      config: { ...loop, batchSize: algorithm.batchSize },
      runDirectory,
      signal,
      resume,
      checkpointIntervalMs: options.checkpointIntervalMs,
      reporter: progress,
      log,
    });
    progress.finish();
    const nothing = { run, published: undefined, publishedBefore: undefined };
    if (run.aborted || publish === undefined) return nothing;
    const { store, model, which } = publish;
    const publishedBefore = resume ? await samePublication(runDirectory, { ...publish, step: run.step }) : undefined;
    if (publishedBefore !== undefined) return { ...nothing, publishedBefore };
    const best = which === 'best' ? run.best : undefined;
    if (best !== undefined) learner.restore(await loadBestLearner(runDirectory, best));
    await writeNetworks(join(runDirectory, 'networks'), td3NetworkFiles(learner, algorithm));
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
        steps: best?.step ?? run.step,
        evaluations: [...run.evaluations],
        sourceRevision: sourceRevision(),
      },
    });
    const { version, directory: packageDirectory } = published;
    log.info({ directory: packageDirectory }, 'published');
    const noted = { store, model, which, step: run.step, version, directory: packageDirectory };
    await notePublication(runDirectory, noted);
    return { run, published, publishedBefore };
  } finally {
    progress.finish();
    log?.flush();
    directory?.release();
    learner.dispose();
    env.dispose();
    evaluationEnv.dispose();
  }
}

/** TD3's networks read the observation alone: a task that it does not see would be averaged over in silence. */
function checkNoContext(environment: string, { context }: PolicySpecs): void {
  if (context === null) return;
  throw invalidArgument({
    where: 'train td3',
    expected: 'an environment without a context',
    actual: `"${environment}" with context ${context.names.join(', ')}`,
    remedy: 'TD3 does not see contexts; choose an environment that has none',
  });
}

/** The published networks once more, as safetensors. */
async function writeNetworks(directory: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  await mkdir(directory, { recursive: true });
  for (const [name, bytes] of files) await writeFile(join(directory, name), bytes);
}

async function checkPublishable({ store, model }: PublishOptions): Promise<void> {
  checkModelName(model);
  try {
    await mkdir(store, { recursive: true });
    await access(store, constants.W_OK);
  } catch (cause) {
    const expected = 'a directory that can be written';
    throw failedPrecondition({ where: `store "${store}"`, expected, actual: (cause as Error).message, cause });
  }
}

/** The version-control revision of this code, where it runs from a checkout. */
function sourceRevision(): string {
  try {
    const options = { cwd: import.meta.dirname, stdio: ['ignore', 'pipe', 'ignore'] as ['ignore', 'pipe', 'ignore'] };
    return execFileSync('git', ['rev-parse', 'HEAD'], options).toString().trim();
  } catch {
    return 'unknown';
  }
}
