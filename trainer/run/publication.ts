/** What a run has published, kept as `published.json` in its directory: a run that is resumed after its end publishes nothing twice. */

import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { replaceFile } from '../../src/files/durable-files.ts';
import { readPackage } from '../../src/package/package.ts';

export const publicationFile = 'published.json';

export type Publication = {
  readonly store: string;
  readonly model: string;
  readonly which: string;
  /** Of the run when it was published. */
  readonly step: number;
  readonly version: number;
  /** Of the package. */
  readonly directory: string;
};

/** The last publication that is the same, and whose package is still whole; undefined where it must be made. */
export async function samePublication(
  runDirectory: string,
  { store, model, which, step }: Pick<Publication, 'store' | 'model' | 'which' | 'step'>,
): Promise<Publication | undefined> {
  try {
    const former = JSON.parse(await readFile(join(runDirectory, publicationFile), 'utf8')) as Publication;
    const isSame =
      former.store === resolve(store) && former.model === model && former.which === which && former.step === step;
    if (!isSame) return undefined;
    await readPackage(former.directory);
    return former;
  } catch {
    // No note or a damaged one, no package or a damaged one: it is published once more.
    return undefined;
  }
}

/** Replaces what was noted before. */
export async function notePublication(runDirectory: string, publication: Publication): Promise<void> {
  const { store, directory } = publication;
  const absolute = { ...publication, store: resolve(store), directory: resolve(directory) };
  await replaceFile(join(runDirectory, publicationFile), `${JSON.stringify(absolute, null, 2)}\n`, 'json');
}
