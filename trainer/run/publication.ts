/** Notes in `published.json` what a run has published, so that a finished run that is resumed does not publish it again. */

import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { replaceFile } from '../../src/files/durable-files.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import { readPackage, versionToPublish } from '../../src/package/package.ts';
import type { Algorithm, GivenSettings } from './algorithm.ts';
import { readSettings } from './unused-settings.ts';

export const publicationFile = 'published.json';

export type Publication = {
  readonly store: string;
  readonly model: string;
  readonly which: string;
  /** Step of the run when it was published. */
  readonly step: number;
  /** Of a run that publishes every evaluation: the steps of all of them so far. */
  readonly steps?: readonly number[];
  readonly version: number;
  /** Directory of the package. */
  readonly directory: string;
};

/** The run's last publication; undefined if there is none, or its note is damaged. */
export async function readPublication(runDirectory: string): Promise<Publication | undefined> {
  try {
    return JSON.parse(await readFile(join(runDirectory, publicationFile), 'utf8')) as Publication;
  } catch {
    return undefined;
  }
}

/** The run's last publication if it is this one and its package is whole; else undefined. */
export async function samePublication(
  runDirectory: string,
  { store, model, which, step }: Pick<Publication, 'store' | 'model' | 'which' | 'step'>,
): Promise<Publication | undefined> {
  const former = await lastTo(runDirectory, { store, model, which });
  // A resumed run repeats evaluations whose versions are already published.
  if (former === undefined || !(former.steps ?? [former.step]).includes(step)) return undefined;
  try {
    await readPackage(former.directory);
    return former;
  } catch {
    // The package is missing or damaged, so the run is published again.
    return undefined;
  }
}

/** By what a version is known as a run's: two policies of the same evaluations, to the last digit, are one. */
type Origin = Pick<Manifest['training'], 'config' | 'seed' | 'steps' | 'evaluations'> & {
  readonly environment: string;
};

/** The newest version of the model, if the run that is resumed published it and was ended before it could note that. */
export async function unnotedPublication(
  publication: Pick<Publication, 'store' | 'model' | 'which' | 'step'>,
  origin: Origin,
  algorithm: Algorithm,
): Promise<Publication | undefined> {
  try {
    const { store, model } = publication;
    const version = (await versionToPublish(store, model)) - 1;
    const directory = join(resolve(store), model, String(version));
    const { manifest } = await readPackage(directory);
    const found = originOf({ ...manifest.training, environment: manifest.environment }, algorithm);
    return isDeepStrictEqual(found, originOf(origin, algorithm)) ? { ...publication, version, directory } : undefined;
  } catch {
    // There is none, or it is damaged.
    return undefined;
  }
}

/** As JSON has it. The length of the run and the like may be others by now. */
function originOf({ environment, config, seed, steps, evaluations }: Origin, algorithm: Algorithm): unknown {
  const { which } = config.publish as Pick<Publication, 'which'>;
  const given = { environment, algorithm: config.algorithm as GivenSettings['algorithm'], loop: {} };
  const settings = Object.fromEntries(readSettings(algorithm, given));
  return JSON.parse(JSON.stringify({ settings, which, seed, steps, evaluations }));
}

/** The last publication to this model of this store, by the same choice. */
async function lastTo(
  runDirectory: string,
  { store, model, which }: Pick<Publication, 'store' | 'model' | 'which'>,
): Promise<Publication | undefined> {
  const former = await readPublication(runDirectory);
  return former?.store === resolve(store) && former.model === model && former.which === which ? former : undefined;
}

/** Replaces the note. */
export async function notePublication(runDirectory: string, publication: Omit<Publication, 'steps'>): Promise<void> {
  const { store, directory, which, step } = publication;
  const former = which === 'every' ? await lastTo(runDirectory, publication) : undefined;
  const absolute: Publication = {
    ...{ ...publication, store: resolve(store), directory: resolve(directory) },
    ...(which === 'every' && { steps: [...(former?.steps ?? (former === undefined ? [] : [former.step])), step] }),
  };
  await replaceFile(join(runDirectory, publicationFile), `${JSON.stringify(absolute, null, 2)}\n`, 'json');
}

/** Removes the note: a finished run that is resumed publishes again. */
export const forgetPublication = (runDirectory: string): Promise<void> =>
  rm(join(runDirectory, publicationFile), { force: true });
