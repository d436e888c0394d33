/** Publishes what a run has learnt, or keeps its networks as files. A resumed run publishes the same step to the same model only once. */

import { join } from 'node:path';
import type { PolicySpecs } from '../../src/contract/tensor-spec.ts';
import { replaceFile } from '../../src/files/durable-files.ts';
import { makeFolder, makeWritableFolder } from '../../src/files/folders.ts';
import type { Evaluation, Manifest } from '../../src/package/manifest.ts';
import { checkModelName } from '../../src/package/model-name.ts';
import { type PublishedPackage, versionToPublish } from '../../src/package/package.ts';
import type { Engine } from '../engine/engine.ts';
import { publishModel } from '../export/package.ts';
import type { Algorithm, RunLog, RunResult, Training } from './algorithm.ts';
import { type PublishOptions, type RunConfig, warmUpOf } from './config.ts';
import { HangError } from './environment/hang.ts';
import {
  notePublication,
  type Publication,
  publicationFile,
  samePublication,
  unnotedPublication,
} from './publication.ts';
import { sourceRevision } from './source-revision.ts';

type FreshFigures = Partial<Pick<Manifest['training'], 'freshReturn' | 'freshStandardDeviation' | 'freshEpisodeCount'>>;

export type PublishedRun = {
  /** Undefined if nothing was to be published, or an earlier start of the run published it. */
  readonly published: PublishedPackage | undefined;
  /** The earlier publication of the same step, model and store. */
  readonly publishedBefore: Publication | undefined;
};

/**
 * Call before the training: refuses a model or a store to which the run could not be published.
 * @throws HyperpolicyError invalid_argument: a model's name; failed_precondition: a store that cannot be written, a model's folder
 *   that cannot be read or has the largest version that there is
 */
export async function checkPublishable({ store, model }: PublishOptions): Promise<void> {
  checkModelName(model);
  makeWritableFolder(`store "${store}"`, store);
  await versionToPublish(store, model);
}

type RunToPublish = {
  readonly run: Pick<RunResult, 'step' | 'best' | 'evaluations'>;
  readonly algorithm: Algorithm;
  readonly training: Training;
  readonly config: RunConfig;
  readonly publish: PublishOptions;
  readonly runDirectory: string;
  readonly resume: boolean;
  readonly specs: PolicySpecs;
  readonly engine: Engine;
  readonly log: RunLog;
  readonly signal?: AbortSignal | undefined;
};

/** Where nothing is published: writes the networks of the best evaluation, for `import`, or the present ones if there is no best one. */
export async function keepNetworks({
  run: { best },
  training,
  runDirectory,
}: Pick<RunToPublish, 'run' | 'training' | 'runDirectory'>): Promise<void> {
  if (best !== undefined) await training.restoreBest(runDirectory, best);
  await writeNetworks(runDirectory, training.networkFiles());
}

/**
 * Publishes the networks of the best evaluation, or the present ones; a warning if there is no best one, or if they cannot be written as files
 * of the run too. Errors: those of publishPackage.
 */
export async function publishRun(options: RunToPublish): Promise<PublishedRun> {
  const { run, training, config, publish, runDirectory, specs, engine, log } = options;
  const { store, model, which } = publish;
  const isEvery = which === 'every';
  const best = which === 'best' ? run.best : undefined;
  const record = trainingRecord(options, best);
  const publishedBefore = await formerPublication(options, record);
  if (publishedBefore !== undefined) return { published: undefined, publishedBefore };
  if (best !== undefined) await training.restoreBest(runDirectory, best);
  else if (which === 'best') log.warn({ step: run.step }, noBest(config, run));
  await attemptNetworks(options);
  // The return that chose the best policy is biased; that of fresh episodes is not.
  const fresh = isEvery ? {} : await freshFigures(options);
  const published = await publishModel({
    ...training.model(),
    store,
    model,
    algorithm: config.algorithm.name,
    environment: config.environment,
    specs,
    engine,
    training: { ...record, ...fresh, sourceRevision: sourceRevision() },
  });
  const { version, directory } = published;
  log.info({ directory }, 'published');
  await note(options, { version, directory });
  return { published, publishedBefore };
}

function noBest({ loop }: RunConfig, { step }: RunToPublish['run']): string {
  const warmUp = warmUpOf(loop);
  return step <= warmUp
    ? `the run ended within its warm-up of ${warmUp}, in which nothing is learnt: the policy that it began with is published`
    : 'no evaluation after the warm-up has a finite return and its learner on the disk: the policy of the last step is published';
}

/** What this run has published already of the same step: a resumed one does it again from its checkpoint on. */
async function formerPublication(options: RunToPublish, record: TrainingRecord): Promise<Publication | undefined> {
  const { run, algorithm, config, publish, runDirectory, resume } = options;
  if (!resume && publish.which !== 'every') return undefined;
  const noted = await samePublication(runDirectory, { ...publish, step: run.step });
  if (noted !== undefined || !resume) return noted;
  const found = await unnotedPublication(
    { ...publish, step: run.step },
    { ...record, environment: config.environment },
    algorithm,
  );
  if (found !== undefined) await note(options, found);
  return found;
}

/** The version is there also if this fails, as on a full disk: a resumed run finds it. */
async function note(
  { run: { step }, publish: { store, model, which }, runDirectory, log }: RunToPublish,
  { version, directory }: Pick<Publication, 'version' | 'directory'>,
): Promise<void> {
  try {
    await notePublication(runDirectory, { store, model, which, step, version, directory });
  } catch (error) {
    const text = `version ${version} of "${model}" is published; ${publicationFile}, which notes that, could not be written`;
    log.warn({ error: (error as Error).message }, text);
  }
}

/** Servers answer GetModel with all that a manifest has. */
const recordedCountMax = 4096;

/** The evaluations that a manifest records, in order: all with finite returns, or every nth with the best and the last. */
function recorded({ evaluations: all, best }: RunToPublish['run']): Evaluation[] {
  const evaluations = all.filter(({ meanReturn }) => Number.isFinite(meanReturn));
  const { length } = evaluations;
  if (length <= recordedCountMax) return evaluations;
  const stride = Math.ceil(length / (recordedCountMax - 2));
  return evaluations.filter(({ step }, index) => index % stride === 0 || step === best?.step || index === length - 1);
}

type TrainingRecord = ReturnType<typeof trainingRecord>;

function trainingRecord({ run, config }: RunToPublish, best: RunResult['best']) {
  const { workingDirectory: _, ...settings } = config;
  const last = run.evaluations.at(-1);
  return {
    config: settings,
    seed: config.loop.seed,
    steps: best?.step ?? run.step,
    evaluations: recorded(run),
    ...(best !== undefined && { bestEvaluationReturn: best.meanReturn }),
    // JSON has no number that is not finite.
    ...(last !== undefined && Number.isFinite(last.meanReturn) && { lastEvaluationReturn: last.meanReturn }),
  };
}

/** A failure here does not prevent publishing: an environment may have failed, or a person may wait for the end. */
async function freshFigures({ training, log, signal }: RunToPublish): Promise<FreshFigures> {
  try {
    signal?.throwIfAborted();
    const result = await training.evaluateAfresh?.(signal);
    if (result === undefined) return {};
    const { meanReturn, standardDeviation, returns, episodeCount = returns.length } = result;
    if (!Number.isFinite(meanReturn)) throw new Error(`their mean return is ${meanReturn}`);
    return { freshReturn: meanReturn, freshStandardDeviation: standardDeviation, freshEpisodeCount: episodeCount };
  } catch (error) {
    const isCut = signal?.aborted === true && !(error instanceof HangError);
    const reason = isCut ? 'interrupted' : (error as Error).message;
    log.warn({ error: reason }, 'the published policy has no return on fresh episodes');
    return {};
  }
}

/** The store may be on another disk, so a failure here does not prevent publishing. */
async function attemptNetworks({ run: { step }, training, runDirectory, log }: RunToPublish): Promise<void> {
  try {
    await writeNetworks(runDirectory, training.networkFiles());
  } catch (error) {
    log.warn(
      { step, error: (error as Error).message },
      'networks/ could not be written; publishing is tried all the same',
    );
  }
}

/** Writes networks as safetensors too. A kill or a full disk leaves each as it was before. */
async function writeNetworks(runDirectory: string, files: ReadonlyMap<string, Uint8Array>): Promise<void> {
  const directory = join(runDirectory, 'networks');
  makeFolder(directory);
  for (const [name, bytes] of files) await replaceFile(join(directory, name), bytes, 'safetensors');
}
