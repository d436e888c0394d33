/** Reads what runs left in their directories. */

import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { invalidArgument, notFound } from '../../src/contract/errors.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import { type ModelPackage, readPackage } from '../../src/package/package.ts';
import { loadAlgorithm } from '../algorithms/registry.ts';
import type { ReturnsBefore } from '../run/algorithm.ts';
import { defaultStepUnit } from '../run/learning-curve.ts';
import { type MetricRecord, readMetrics } from '../run/metrics.ts';
import { readPublication } from '../run/publication.ts';
import { type BegunConfig, readRunConfig } from '../run/run-directory.ts';
import { kindWords } from '../run/run-names.ts';

export type Run = {
  readonly directory: string;
  readonly config: BegunConfig;
  readonly seed: number;
  /** Algorithm and network, e.g. `td3 sa-hyper`. */
  readonly name: string;
  readonly stepUnit: string;
  /** If the policy adapts. */
  readonly beforeAdaptation: ReturnsBefore | undefined;
  readonly records: readonly MetricRecord[];
};

/**
 * @param paths run directories, or folders of run directories
 * @throws HyperpolicyError not_found: a path without a run; invalid_argument: a config that names no algorithm
 */
export async function readRuns(paths: readonly string[]): Promise<Run[]> {
  const directories = [...new Set(paths.flatMap(runDirectoriesIn).map((path) => resolve(path)))];
  const runs: Run[] = [];
  for (const directory of directories) runs.push(await readRun(directory));
  return runs;
}

const isRun = (path: string): boolean => existsSync(join(path, 'config.json'));

function runDirectoriesIn(path: string): string[] {
  if (isRun(path)) return [path];
  const inside = existsSync(path) ? readdirSync(path).sort() : [];
  const found = inside.map((name) => join(path, name)).filter(isRun);
  if (found.length > 0) return found;
  throw notFound({
    where: path,
    expected: 'a run directory, or a folder with some',
    actual: existsSync(path) ? 'no config.json' : 'nothing there',
  });
}

async function readRun(directory: string): Promise<Run> {
  const config = readRunConfig(directory);
  const { name } = config.algorithm;
  if (typeof name !== 'string') {
    throw invalidArgument({ where: join(directory, 'config.json'), expected: 'algorithm.name', actual: 'none' });
  }
  const algorithm = await loadAlgorithm(name);
  return {
    directory,
    config,
    seed: Number(config.loop.seed ?? 0),
    name: kindWords(algorithm, { algorithm: config.algorithm }).join(' '),
    stepUnit: algorithm.stepUnit ?? defaultStepUnit,
    beforeAdaptation: algorithm.beforeAdaptation?.({ algorithm: config.algorithm }),
    records: readMetrics(directory),
  };
}

export const environmentOf = ({ config }: Run): string => basename(config.environment);

export type PublishedModel = { readonly manifest: Manifest; readonly content: ModelPackage };

/** What a run published last; undefined if it published nothing, or that is gone. */
export async function publishedModel({ directory }: Run): Promise<PublishedModel | undefined> {
  const publication = await readPublication(directory);
  if (publication === undefined) return undefined;
  try {
    const content = await readPackage(publication.directory);
    return { manifest: content.manifest, content };
  } catch {
    return undefined;
  }
}
