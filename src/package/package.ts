/**
 * The model package on disk: `<store>/<model>/<version>/` with a manifest and the files that it lists. Publishes,
 * verifies and lists packages; what the files mean is the manifest's matter.
 */

import { createHash, randomUUID } from 'node:crypto';
import { access, lstat, readdir, realpath, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { checkSpecBounds } from '../contract/bounds.ts';
import { failedPrecondition, HyperpolicyError, invalidArgument, notFound } from '../contract/errors.ts';
import { fingerprint } from '../contract/tensor-spec.ts';
import {
  asidePath,
  removeLeftAside,
  revealDirectory,
  syncDirectory,
  withDirectoryAside,
  writeDurably,
} from '../files/durable-files.ts';
import { makeFolder } from '../files/folders.ts';
import {
  damaged,
  irregular,
  type ListedFile,
  readListedFile,
  readRegularText,
  systemText,
  unreadable,
} from './listed-file.ts';
import { fileNamePattern, type Manifest, manifestFormat, parseManifest, versionMax } from './manifest.ts';
import { checkModelName, isModelName, modelNameRule } from './model-name.ts';

const manifestFile = 'manifest.json';
/** Weights of one context of a policy that adapts: its package has a probe of adapted ones. */
export const adaptedWeightCountMax = 400_000;
/** Of a manifest. Those of real packages are some hundred kilobytes, most of it probes: the largest is that of adapted weights. */
const manifestBytesMax = 16 * 1024 * 1024;
const versionPattern = /^[1-9][0-9]*$/;

/** A manifest without the fields that publishing fills in. */
export type ManifestDraft = Omit<Manifest, 'format' | 'model' | 'version' | 'files' | 'fingerprint' | 'training'> & {
  readonly training: Omit<Manifest['training'], 'publishedAt'>;
};

export type PublishOptions = {
  /** Created where it is missing. */
  readonly store: string;
  readonly model: string;
  readonly manifest: ManifestDraft;
  /** Content by file name; a plain name, no path. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Time of publishing; now unless given. */
  readonly publishedAt?: Date;
};

export type PublishedPackage = { readonly version: number; readonly directory: string; readonly manifest: Manifest };

export type ModelPackage = {
  readonly directory: string;
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
};

/** A package whose files are still to be read: each is verified as it is, by `readListedFile`. */
export type PackageIndex = Omit<ModelPackage, 'files'> & { readonly files: ReadonlyMap<string, ListedFile> };

/**
 * Publishes a package as the model's next version. It is visible whole or not at all, and two publishers at once get two versions.
 * @throws HyperpolicyError invalid_argument: model or file name, or a manifest that does not match its files;
 *   failed_precondition: the store cannot be written, or the model has the largest version that there is
 */
export async function publishPackage(options: PublishOptions): Promise<PublishedPackage> {
  const { model, files, publishedAt = new Date() } = options;
  const store = resolve(options.store);
  checkModelName(model);
  const complete = (version: number): Manifest => completeManifest(options, version, publishedAt);
  // Refuse before anything is written; what is not finite would be null, a bound that is not there.
  checkSpecBounds(`publish "${model}"`, options.manifest);
  const text = textOf(complete(1));
  checkManifestSize(`publish "${model}"`, text);
  parseManifest(text);
  const modelDirectory = join(store, model);
  try {
    makeFolder(modelDirectory);
    await syncDirectory(store);
    const aside = asidePath(store, 'publish', randomUUID());
    return await withDirectoryAside(aside, async () => {
      // First, as they may fill the disk.
      await removeLeftAside(aside, 'publish');
      for (const [name, content] of files) await writeDurably(join(aside, name), content);
      // A published directory is never empty, so the rename fails where another publisher took the number first.
      for (;;) {
        const version = nextVersion(modelDirectory, (await lookAtModel(modelDirectory)).versions);
        const manifest = complete(version);
        await writeDurably(join(aside, manifestFile), textOf(manifest));
        const directory = join(modelDirectory, String(version));
        if (await revealDirectory(aside, directory)) return { version, directory, manifest };
        await rm(join(aside, manifestFile));
      }
    });
  } catch (error) {
    throw asStoreError(error, store, 'a store that can be written');
  }
}

/**
 * The version that a package published now would have; 1 in a store that is still to be made.
 * @throws HyperpolicyError failed_precondition: the model has the largest version that there is, or its folder cannot be read
 */
export async function versionToPublish(store: string, model: string): Promise<number> {
  const directory = join(resolve(store), model);
  try {
    return nextVersion(directory, (await lookAtModel(directory)).versions);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 1;
    throw asStoreError(error, directory, 'a folder that can be read');
  }
}

/**
 * Reads a package and verifies it: the manifest, the directory's names against it, every size and every SHA-256.
 * @param directory `<store>/<model>/<version>`
 * @throws HyperpolicyError not_found: the directory or a listed file is missing; invalid_argument: anything that differs
 */
export async function readPackage(directory: string): Promise<ModelPackage> {
  const index = await readPackageIndex(directory);
  const files = new Map<string, Uint8Array>();
  for (const [name, listed] of index.files) files.set(name, await readListedFile(listed));
  return { ...index, files };
}

/**
 * The same without the files' content: the manifest, the directory's names against it, and that each file is there, lies in the
 * package and has its size.
 * @throws HyperpolicyError as readPackage
 */
export async function readPackageIndex(directory: string): Promise<PackageIndex> {
  const path = resolve(directory);
  const manifest = parseManifest(await readManifest(path));
  for (const [field, named] of [
    ['version', basename(path)],
    ['model', basename(dirname(path))],
  ] as const) {
    if (String(manifest[field]) !== named) {
      throw invalidArgument({
        where: join(path, manifestFile),
        expected: `${field} "${named}" as the directory is named`,
        actual: `"${manifest[field]}"`,
      });
    }
  }
  const files = new Map<string, ListedFile>();
  for (const [name, { bytes, sha256 }] of Object.entries(manifest.files)) {
    checkFileName(name);
    const found = await locate(path, name);
    if (found.bytes !== bytes) throw damaged(join(path, name), `${bytes} bytes`, `${found.bytes}`);
    files.set(name, { path: found.path, bytes, sha256 });
  }
  return { directory: path, manifest, files };
}

/** A folder of a store that is not served. */
type PassedOver = {
  readonly directory: string;
  /** What was expected of it, and what it is. */
  readonly reason: string;
  /** With a version: one that is too large. Alone: a model whose folder cannot be read, which may hold what it held before. */
  readonly model?: string;
  readonly version?: number;
};

export type StoreListing = {
  /** That have at least one version, by name, with their versions ascending. */
  readonly models: readonly { readonly model: string; readonly versions: readonly number[] }[];
  readonly passedOver: readonly PassedOver[];
};

/**
 * What a store has, by names alone. Files, and folders whose names begin with a dot, are skipped without a word; one folder that
 * cannot be read hides no other.
 * @throws HyperpolicyError not_found: the store is missing; failed_precondition: it cannot be read
 */
export async function listStore(store: string): Promise<StoreListing> {
  const root = resolve(store);
  let names: string[];
  try {
    names = (await readdir(root)).sort();
  } catch (error) {
    throw asStoreError(error, root, 'a store that can be read');
  }
  const models: { model: string; versions: number[] }[] = [];
  const passedOver: PassedOver[] = [];
  if (names.includes(manifestFile)) {
    const reason = 'expected a store, got one version of a model. Name the folder two above it';
    passedOver.push({ directory: root, reason });
  }
  for (const name of names.filter(isVisible)) {
    const directory = join(root, name);
    try {
      if (!(await isDirectory(directory))) continue;
      const reason = await modelFault(directory, name);
      if (reason !== undefined) {
        passedOver.push({ directory, reason });
        continue;
      }
      const found = await lookAtModel(directory);
      passedOver.push(...found.passedOver);
      if (found.versions.length > 0) models.push({ model: name, versions: found.versions });
    } catch (cause) {
      passedOver.push({
        directory,
        reason: `expected a folder that can be read, got ${systemText(cause)}`,
        model: name,
      });
    }
  }
  return { models, passedOver };
}

/** The models of `listStore`. */
export const listModels = async (store: string): Promise<StoreListing['models']> => (await listStore(store)).models;

/** Why a folder of a store is no model; undefined if it is one. */
async function modelFault(directory: string, name: string): Promise<string | undefined> {
  if (!isModelName(name)) {
    return `expected a model name (${modelNameRule}), got ${JSON.stringify(name)}`;
  }
  const isVersion = await access(join(directory, manifestFile)).then(
    () => true,
    () => false,
  );
  if (!isVersion) return undefined;
  return "expected a model's folder, got one of its versions. The store is the folder above: name that one";
}

/** Publishers' own folders begin with a dot. */
const isVisible = (name: string): boolean => !name.startsWith('.');

function completeManifest({ model, manifest, files }: PublishOptions, version: number, publishedAt: Date): Manifest {
  const listed: Manifest['files'] = {};
  for (const [name, content] of files) {
    checkFileName(name);
    listed[name] = { bytes: content.byteLength, sha256: sha256Of(content) };
  }
  const head = { format: manifestFormat, model, version };
  return {
    ...head,
    ...manifest, // may be another version's whole manifest, so the head comes again after it
    ...head,
    fingerprint: fingerprint(manifest),
    files: listed,
    training: { ...manifest.training, publishedAt: publishedAt.toISOString() },
  };
}

const textOf = (manifest: Manifest): string => `${JSON.stringify(manifest, null, 2)}\n`;

/** Nobody could read a larger one. @throws HyperpolicyError invalid_argument */
function checkManifestSize(where: string, text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes <= manifestBytesMax) return;
  throw invalidArgument({
    where,
    expected: `a manifest of at most ${manifestBytesMax} bytes`,
    actual: `${bytes}`,
    remedy: `Most of it is probes: an adapted policy may have ${adaptedWeightCountMax} weights of one context`,
  });
}

/** A name from a manifest becomes a path, so it must stay inside the package. */
function checkFileName(name: string): void {
  if (fileNamePattern.test(name) && name !== manifestFile) return;
  throw invalidArgument({
    where: manifestFile,
    expected: `file names of A-Z a-z 0-9 . _ - and a letter or digit first, other than ${manifestFile}`,
    actual: JSON.stringify(name),
  });
}

async function readManifest(directory: string): Promise<string> {
  const { path } = await locate(directory, manifestFile);
  try {
    return await readRegularText(path, manifestBytesMax);
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw unreadable(path, cause);
  }
}

/** Where a file of the package really lies, and its size. A pipe or a device, which may never end, is refused. */
async function locate(directory: string, name: string): Promise<{ path: string; bytes: number }> {
  const where = join(directory, name);
  try {
    const path = await realpath(where);
    if (!path.startsWith((await realpath(directory)) + sep)) {
      throw invalidArgument({ where, expected: 'a file of the package', actual: 'a link out of it' });
    }
    const found = await stat(path);
    if (!found.isFile()) throw irregular(where);
    return { path, bytes: found.size };
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw unreadable(where, cause);
  }
}

/** Numbers of a model's version folders, ascending, and the folders that are none. @throws Error of the system */
async function lookAtModel(directory: string): Promise<{ versions: number[]; passedOver: PassedOver[] }> {
  const versions: number[] = [];
  const passedOver: PassedOver[] = [];
  for (const name of (await readdir(directory)).filter(isVisible).sort()) {
    const own = join(directory, name);
    const isVersion = versionPattern.test(name);
    try {
      if (!(await isDirectory(own))) continue;
    } catch (cause) {
      // Loading a version says why it cannot be read.
      if (!isVersion) passedOver.push({ directory: own, reason: `expected a folder, got ${systemText(cause)}` });
      if (!isVersion) continue;
    }
    if (isVersion && Number(name) <= versionMax) versions.push(Number(name));
    else {
      const tooLarge = isVersion ? { model: basename(directory), version: Number(name) } : {};
      passedOver.push({ directory: own, reason: versionFault(name), ...tooLarge });
    }
  }
  return { versions: versions.sort((a, b) => a - b), passedOver };
}

const versionFault = (name: string): string =>
  `expected a version, an integer from 1 to ${versionMax} without leading zeros, got ${JSON.stringify(name)}`;

/** @throws HyperpolicyError failed_precondition if none is left */
function nextVersion(modelDirectory: string, versions: readonly number[]): number {
  const newest = versions.at(-1) ?? 0;
  if (newest < versionMax) return newest + 1;
  throw failedPrecondition({
    where: modelDirectory,
    expected: `a version below ${versionMax}, the largest that messages carry, as the newest`,
    actual: `${newest}`,
    remedy: 'Publish under another model name, or remove that version',
  });
}

/** False also for what vanished between listing and looking. @throws Error of the system; for a dangling link, too */
async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const vanished = (error as NodeJS.ErrnoException).code === 'ENOENT' && !(await isLink(path));
    if (vanished) return false;
    throw error;
  }
}

const isLink = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );

const sha256Of = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

function asStoreError(cause: unknown, store: string, expected: string): unknown {
  const { code } = cause as NodeJS.ErrnoException;
  if (cause instanceof HyperpolicyError || code === undefined) return cause;
  const fields = { where: store, expected, actual: systemText(cause), cause };
  return code === 'ENOENT' ? notFound(fields) : failedPrecondition(fields);
}
