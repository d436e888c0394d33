/** One run from a config to a published package, for every algorithm: wires the parts that the other files own. */

import { unboundedText } from '../src/contract/bounds.ts';
import { loadAlgorithm } from './algorithms/registry.ts';
import { createEngine } from './engine/choose.ts';
import type { Engine } from './engine/engine.ts';
import type { Algorithm, RunContext, RunResult, Training } from './run/algorithm.ts';
import { completeConfig } from './run/complete-config.ts';
import type { GivenConfig, PublishOptions, RunConfig } from './run/config.ts';
import { tellDevices } from './run/devices.ts';
import type { Environment } from './run/environment/environment.ts';
import { openEnvironment } from './run/environment/open.ts';
import { environmentPlace } from './run/environment-place.ts';
import { explainFailure, explainUnpublished, type Resumption, RunFailure } from './run/failure.ts';
import { openRunLog, type RunLogger, startMessage } from './run/logging.ts';
import { createProgress, type Progress, type ProgressStream, singleUnit } from './run/progress.ts';
import { checkPublishable, keepNetworks, type PublishedRun, publishRun } from './run/publish.ts';
import { openRunDirectory, type RunDirectory, requireNoRun } from './run/run-directory.ts';
import { requireLength, requireSameRun } from './run/same-run.ts';
import { checkConfig, publishing } from './run/trainable.ts';
import { unusedSettings } from './run/unused-settings.ts';
import { type MetricsPort, type MetricsPortOptions, openMetricsPort } from './seeing/metrics-port.ts';

export type TrainOptions = {
  /** `algorithm.name` is the algorithm; defaults fill missing settings. */
  readonly config: GivenConfig & { readonly algorithm: { readonly name: string } };
  readonly runDirectory: string;
  /** Go on from the run directory's newest checkpoint. A run that was killed before its first one begins at step 0. */
  readonly resume?: boolean | undefined;
  /** The command that goes on with the run, quoted for a shell: the error of a run that fails names it. None for a run from code. */
  readonly resumeCommand?: string | undefined;
  /** Aborting leaves a checkpoint and publishes nothing. */
  readonly signal?: AbortSignal | undefined;
  /** The stream for progress, usually `process.stderr`. */
  readonly stream: ProgressStream;
  /** The port of the run's metrics for Prometheus; none unless given. */
  readonly metricsPort?: MetricsPortOptions | undefined;
};

export type TrainResult = PublishedRun & { readonly run: RunResult };

/**
 * Trains, and publishes if asked.
 * @throws HyperpolicyError: an unknown algorithm, setting, environment or network, a value out of range, the webgpu device, an environment that
 *   the algorithm cannot train in, a port that is taken, a run directory with or without a run against `resume`, a store that cannot be written; and what
 *   ended the run (an environment that throws, a loss that is not finite, a full disk), with what is kept and how to go on: the best
 *   policy so far is published before; what prevented publishing, or writing networks, at its end, with how to do it
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const algorithm = await loadAlgorithm(options.config.algorithm.name);
  const here = process.cwd();
  const workingDirectory = options.resume === true ? (options.config.workingDirectory ?? here) : here;
  const config = completeConfig(algorithm, { ...options.config, workingDirectory });
  // Before what takes long, and before hours of training.
  checkConfig(config);
  if (options.resume !== true) await requireNoRun(options.runDirectory, options.resumeCommand);
  const port = options.metricsPort && (await openMetricsPort(options.metricsPort));
  try {
    return await trainWith(options, { algorithm, config, port });
  } finally {
    await port?.close();
  }
}

async function trainWith(
  options: TrainOptions,
  { algorithm, config, port }: Pick<Opened, 'algorithm' | 'config' | 'port'>,
): Promise<TrainResult> {
  const { signal, stream } = options;
  const tell = (line: string) => stream.write(`${line}\n`);
  const place = options.resume === true ? environmentPlace(config) : config.environment;
  const environment = await openEnvironment(place, { signal, tell });
  let training: Training | undefined;
  try {
    await algorithm.check({ config, environment });
    const { threadCount, device } = config;
    const engine = await createEngine(config.engine ?? 'traced', { threadCount, device });
    training = await algorithm.open({ config, environment, engine });
    // After what refuses without writing anything.
    const publish = publishing(config);
    if (publish !== undefined) await checkPublishable(publish);
    return await trainInDirectory(options, { algorithm, config, port, environment, engine, training });
  } finally {
    await training?.dispose();
    await environment.dispose();
  }
}

type Opened = {
  readonly algorithm: Algorithm;
  readonly config: RunConfig;
  readonly port: MetricsPort | undefined;
  readonly environment: Environment;
  readonly engine: Engine;
  readonly training: Training;
};

async function trainInDirectory(
  { runDirectory, resume = false, resumeCommand, signal, stream }: TrainOptions,
  opened: Opened,
): Promise<TrainResult> {
  const { algorithm, config, port, training } = opened;
  const { stepCount } = training;
  const { environment, algorithm: own, loop } = config;
  const unit = singleUnit(algorithm.stepUnit);
  const progress = createProgress({ stream, label: config.environment, stepCount, unit });
  let directory: RunDirectory | undefined;
  let log: RunLogger | undefined;
  try {
    if (resume) {
      await requireSameRun(algorithm, runDirectory, config);
      await requireLength(algorithm, runDirectory, stepCount);
    }
    directory = await openRunDirectory(runDirectory, { config, resume, resumeCommand });
    const { isResumed } = directory;
    log = openRunLog({ directory: runDirectory, unit, warn: progress.print });
    log.info({ config, resume: isResumed }, startMessage);
    if (resume && !isResumed) progress.print(`${runDirectory} has no checkpoint yet: its run begins at ${unit} 0`);
    tellDevices(opened.engine, config.device, { log, print: progress.print });
    // The settings of a run that goes on were told when it began; an earlier version may have written some that nobody gave.
    const unused = resume ? [] : unusedSettings(algorithm, config);
    for (const line of [...unused, ...(algorithm.warnings?.(config) ?? [])]) log.warn({}, line);
    const unbounded = unboundedText(opened.environment.specs.action);
    if (unbounded !== undefined) log.warn({}, unbounded);
    const ending = { runDirectory, unit, resume, resumeCommand, signal, log };
    port?.describe(labelsOf(config, runDirectory), stepCount);
    if (port !== undefined) progress.print(`metrics: http://${port.address}/metrics`);
    const context = {
      ...{ runDirectory, signal, resume: isResumed, log },
      settings: { environment, algorithm: own, loop },
      checkpointIntervalMs: config.checkpointMinutes && 60_000 * config.checkpointMinutes,
      stepUnit: algorithm.stepUnit,
      reporter: port === undefined ? progress : watched(progress, port),
      observer: port,
      settle: opened.environment.settle,
      keptSteps: config.keptSteps,
      evaluated: publishing(config)?.which === 'every' ? publishEach(opened, ending) : undefined,
    };
    let run: RunResult;
    try {
      run = await training.run(context);
    } catch (error) {
      progress.finish();
      throw error instanceof RunFailure ? await salvage(error, opened, ending) : error;
    }
    progress.finish();
    return await conclude(run, opened, ending);
  } finally {
    progress.finish();
    log?.flush();
    directory?.release();
  }
}

const labelsOf = ({ environment, algorithm, loop }: RunConfig, run: string) => ({
  algorithm: algorithm.name,
  environment,
  seed: String(loop.seed),
  run,
});

/** A display whose steps the port shows too. */
const watched = (progress: Progress, port: MetricsPort): Pick<Progress, 'report' | 'print'> => ({
  print: progress.print,
  report(step, latestReturn) {
    port.step(step);
    progress.report(step, latestReturn);
  },
});

type Context = Pick<TrainOptions, 'signal'> & Resumption & { readonly resume: boolean; readonly log: RunLogger };

/**
 * Publishes a run that is over as the config says, or writes its networks where nothing is to be published.
 * @throws HyperpolicyError: what failed, what is kept, and how to go on
 */
async function conclude(run: RunResult, opened: Opened, context: Context): Promise<TrainResult> {
  const publish = publishing(opened.config);
  const nothing = { run, published: undefined, publishedBefore: undefined };
  if (run.aborted) return nothing;
  try {
    if (publish !== undefined) return { run, ...(await publishNow(run, publish, opened, context)) };
    await keepNetworks({ run, training: opened.training, runDirectory: context.runDirectory });
    return nothing;
  } catch (error) {
    const work = publish === undefined ? 'networks' : 'publish';
    throw explainUnpublished(error, { step: run.step, checkpoint: run.checkpoint!, work }, context);
  }
}

/** The error of a run that failed, once the best policy so far is published as the config says. */
async function salvage(failure: RunFailure, opened: Opened, context: Context): Promise<Error> {
  const { result } = failure;
  const { runDirectory, unit, resumeCommand } = context;
  const resumption = { runDirectory, unit, resumeCommand };
  const publish = publishing(opened.config);
  if (publish?.which !== 'best' || result.best === undefined) return explainFailure(failure, resumption);
  try {
    const published = await publishNow(result, publish, opened, context);
    return explainFailure(failure, { ...resumption, published });
  } catch (publishFailure) {
    return explainFailure(failure, { ...resumption, publishFailure });
  }
}

/** Publishes the evaluated policy during the run. */
const publishEach =
  (opened: Opened, context: Context): NonNullable<RunContext['evaluated']> =>
  async (evaluations, learner) => {
    const { config, training } = opened;
    const run = { step: evaluations.at(-1)!.step, best: undefined, evaluations };
    const publish = () => publishNow(run, config.publish!, opened, context);
    await (training.asOf?.(learner, publish) ?? publish());
  };

const publishNow = (
  run: Pick<RunResult, 'step' | 'best' | 'evaluations'>,
  publish: PublishOptions,
  { algorithm, config, environment: { specs }, engine, training }: Opened,
  context: Context,
): Promise<PublishedRun> => publishRun({ ...context, run, algorithm, training, config, publish, specs, engine });
