/**
 * Random packages for tests, each made once in a run of the tests: to trace its networks takes longer than most tests, and a process
 * that finds its packages made need not even load the tracer.
 */

import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inject } from 'vitest';
import { type PublishedPackage, publishPackage } from '../src/package/package.ts';
import type { PackageContent } from '../trainer/export/package.ts';
import type { RandomOptions, RandomPackageOptions } from '../trainer/export/random-package.ts';

export type { RandomPackageOptions };

/** The same as the trainer's; errors too. */
export const publishRandomPackage = async ({
  store,
  model,
  ...options
}: RandomPackageOptions): Promise<PublishedPackage> => publishPackage({ store, model, ...(await madeOnce(options)) });

const manifestName = 'manifest.json';

async function madeOnce(options: RandomOptions): Promise<PackageContent> {
  const cache = inject('randomPackageCache');
  const entry = join(cache, createHash('sha256').update(JSON.stringify(options)).digest('hex'));
  const found = await readEntry(entry);
  if (found !== undefined) return found;
  const { randomPackage } = await import('../trainer/export/random-package.ts');
  const content = randomPackage(options);
  await writeEntry(entry, content);
  return content;
}

async function readEntry(entry: string): Promise<PackageContent | undefined> {
  const names = await readdir(entry).catch(() => undefined);
  if (names === undefined) return undefined;
  const graphs = names.filter((name) => name !== manifestName);
  return {
    manifest: JSON.parse(await readFile(join(entry, manifestName), 'utf8')),
    files: new Map(await Promise.all(graphs.map(async (name) => [name, await readFile(join(entry, name))] as const))),
  };
}

/** Another process may make the same one meanwhile: the first to rename wins, and both have the same content. */
async function writeEntry(entry: string, { manifest, files }: PackageContent): Promise<void> {
  const aside = `${entry}-${randomUUID()}`;
  await mkdir(aside);
  for (const [name, bytes] of files) await writeFile(join(aside, name), bytes);
  await writeFile(join(aside, manifestName), JSON.stringify(manifest));
  await rename(aside, entry).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error;
  });
}
