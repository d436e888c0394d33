/** Notes in `published.json` what a run has published, so that a finished run that is resumed does not publish it again. */

import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { replaceFile } from '../../src/files/durable-files.ts';
import { readPackage } from '../../src/package/package.ts';

export const publicationFile = 'published.json';

export type Publication = {
  readonly store: string;
  readonly model: string;
  readonly which: string;
  /** Step of the run when it was published. */
  readonly step: number;
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
  const former = await readPublication(runDirectory);
  if (former?.store !== resolve(store) || former.model !== model || former.which !== which) return undefined;
  // A resumed run repeats evaluations whose versions are already published.
  if (which === 'every' ? former.step < step : former.step !== step) return undefined;
  try {
    await readPackage(former.directory);
    return former;
  } catch {
    // The package is missing or damaged, so the run is published again.
    return undefined;
  }
}

/** Replaces the note. */
export async function notePublication(runDirectory: string, publication: Publication): Promise<void> {
  const { store, directory } = publication;
  const absolute = { ...publication, store: resolve(store), directory: resolve(directory) };
  await replaceFile(join(runDirectory, publicationFile), `${JSON.stringify(absolute, null, 2)}\n`, 'json');
}
