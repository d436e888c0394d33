/** One run from a config to a published package, for every algorithm: wires the parts that the other files own. */

import type { Env } from '../src/envs/env.ts';
import { createEnvironment } from '../src/envs/registry.ts';
import { loadAlgorithm } from './algorithms/registry.ts';
import { createEngine } from './engine/choose.ts';
import type { Engine } from './engine/engine.ts';
import type { RunResult, Training } from './run/algorithm.ts';
import { completeConfig } from './run/complete-config.ts';
import type { GivenConfig, RunConfig } from './run/config.ts';
import { openRunLog, type RunLogger } from './run/logging.ts';
import { createProgress, type ProgressStream } from './run/progress.ts';
import { checkPublishable, type PublishedRun, publishRun } from './run/publish.ts';
import { openRunDirectory, type RunDirectory } from './run/run-directory.ts';

export type TrainOptions = {
  /** With the algorithm's name in `algorithm.name`; defaults fill what is not given. */
  readonly config: GivenConfig & { readonly algorithm: { readonly name: string } };
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

export type TrainResult = PublishedRun & { readonly run: RunResult };

/**
 * Trains, and publishes where asked.
 * @throws HyperpolicyError: an unknown algorithm, setting, environment or network, a value out of range, an environment that
 *   the algorithm cannot train in, a run directory with or without a run against `resume`, a store that cannot be written
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const algorithm = await loadAlgorithm(options.config.algorithm.name);
  const config = completeConfig(algorithm, options.config);
  // Before hours of training, not after them.
  if (publishing(config) !== undefined) await checkPublishable(config.publish!);
  const env = await createEnvironment(config.environment);
  let training: Training | undefined;
  try {
    const { threadCount, device } = config;
    const engine = await createEngine(config.engine ?? 'traced', { threadCount, device });
    training = await algorithm.open({ config, env, engine });
    return await trainInDirectory(options, { config, env, engine, training });
  } finally {
    training?.dispose();
    env.dispose();
  }
}

const publishing = ({ publish }: RunConfig) => (publish?.which === 'none' ? undefined : publish);

async function trainInDirectory(
  { runDirectory, resume = false, signal, stream, checkpointIntervalMs }: TrainOptions,
  opened: { readonly config: RunConfig; readonly env: Env; readonly engine: Engine; readonly training: Training },
): Promise<TrainResult> {
  const { config, env, engine, training } = opened;
  const { stepCount } = training;
  const progress = createProgress({ stream, label: config.environment, stepCount, now: () => performance.now() });
  let directory: RunDirectory | undefined;
  let log: RunLogger | undefined;
  try {
    directory = await openRunDirectory(runDirectory, { config, resume });
    log = openRunLog({ directory: runDirectory, warn: progress.print });
    log.info({ config, resume }, 'training starts');
    const context = { runDirectory, signal, resume, checkpointIntervalMs, reporter: progress, log };
    const run = await training.run(context);
    progress.finish();
    const publish = publishing(config);
    if (run.aborted || publish === undefined) return { run, published: undefined, publishedBefore: undefined };
    const { specs } = env;
    return { run, ...(await publishRun({ run, training, config, publish, runDirectory, resume, specs, engine, log })) };
  } finally {
    progress.finish();
    log?.flush();
    directory?.release();
  }
}
