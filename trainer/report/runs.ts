/** Reads what runs left in their directories. */

import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { failedPrecondition, invalidArgument, notFound } from '../../src/contract/errors.ts';
import { type ModelPackage, readPackage } from '../../src/package/package.ts';
import { loadAlgorithm } from '../algorithms/registry.ts';
import type { Algorithm, ReturnsBefore, StepUnit } from '../run/algorithm.ts';
import { completeConfig, dotted } from '../run/complete-config.ts';
import { type MetricRecord, readMetrics } from '../run/metrics.ts';
import { readPublication } from '../run/publication.ts';
import { type BegunConfig, readRunConfig } from '../run/run-directory.ts';
import { kindWords } from '../run/run-names.ts';
import { readSettings } from '../run/unused-settings.ts';

export type Run = {
  readonly directory: string;
  readonly config: BegunConfig;
  readonly seed: number;
  /** Algorithm and network, e.g. `td3 sa-hyper`. */
  readonly name: string;
  readonly stepUnit: StepUnit;
  /** If the policy adapts. */
  readonly beforeAdaptation: ReturnsBefore | undefined;
  /** All that are read, by their dotted names: also those that the config of an earlier version lacks. Of another trainer's run as given. */
  readonly settings: ReadonlyMap<string, unknown>;
  readonly records: readonly MetricRecord[];
};

/** A run directory; `isNamed` if its path was given, not that of its folder. */
type Found = { readonly directory: string; readonly isNamed: boolean };

/**
 * @param paths run directories, or folders of run directories
 * @param tell shows a line about a run of a folder that is broken and left out
 * @throws HyperpolicyError not_found: a path without a run; failed_precondition: a run that is named itself is broken, or all of a folder are;
 *   invalid_argument: the same, of its metrics or of an algorithm that is not known
 */
export async function readRuns(paths: readonly string[], tell: (line: string) => void): Promise<Run[]> {
  const runs = new Map<string, Run | Error>();
  for (const path of paths) {
    const found = runDirectoriesIn(path);
    for (const { directory, isNamed } of found) {
      const known = runs.get(directory);
      const run = known ?? (await readRun(directory).catch((error: unknown) => error as Error));
      if (isNamed && run instanceof Error) throw run;
      if (known === undefined && run instanceof Error) tell(`left out ${directory}: ${run.message}`);
      runs.set(directory, run);
    }
    requireOne(path, found, runs);
  }
  return [...runs.values()].filter((run): run is Run => !(run instanceof Error));
}

function requireOne(folder: string, found: readonly Found[], runs: ReadonlyMap<string, Run | Error>): void {
  const errors = found.map(({ directory }) => runs.get(directory)).filter((run) => run instanceof Error);
  if (errors.length < found.length) return;
  throw failedPrecondition({
    where: folder,
    expected: 'a folder with at least one run that can be read',
    actual: `${errors.length} that cannot`,
    remedy: 'Standard error says of each why',
  });
}

const isRun = (path: string): boolean => existsSync(join(path, 'config.json'));

function runDirectoriesIn(path: string): Found[] {
  if (isRun(path)) return [{ directory: resolve(path), isNamed: true }];
  const kind = statSync(path, { throwIfNoEntry: false });
  const inside = kind?.isDirectory() ? readdirSync(path).sort() : [];
  const found = inside.map((name) => join(path, name)).filter(isRun);
  if (found.length > 0) return found.map((directory) => ({ directory: resolve(directory), isNamed: false }));
  throw notFound({
    where: path,
    expected: 'a run directory, or a folder with some',
    actual: kind === undefined ? 'nothing there' : kind.isDirectory() ? 'no config.json' : 'a file',
  });
}

async function readRun(directory: string): Promise<Run> {
  const config = readRunConfig(directory);
  return {
    directory,
    config,
    seed: Number(config.loop.seed ?? 0),
    ...(await kindOf(directory, config)),
    records: readMetrics(directory),
  };
}

/** What the algorithm says of a run with these settings. */
async function kindOf(
  directory: string,
  config: BegunConfig,
): Promise<Pick<Run, 'name' | 'stepUnit' | 'beforeAdaptation' | 'settings'>> {
  const { algorithm: settings } = config;
  try {
    const algorithm = await loadAlgorithm(String(settings.name));
    return {
      name: kindWords(algorithm, { algorithm: settings }).join(' '),
      stepUnit: algorithm.stepUnit,
      beforeAdaptation: algorithm.beforeAdaptation?.({ algorithm: settings }),
      settings: settingsIn(algorithm, config),
    };
  } catch (cause) {
    throw invalidArgument({
      where: join(directory, 'config.json'),
      expected: 'an algorithm with its settings',
      actual: `one that is not whole or not known (${(cause as Error).message})`,
      cause,
    });
  }
}

/** Defaults are those of the runs that this project made: another's, in the same form, may have settings that the algorithm does not take. */
function settingsIn(algorithm: Algorithm, config: BegunConfig): Run['settings'] {
  try {
    return readSettings(algorithm, completeConfig(algorithm, config));
  } catch {
    const { environment, algorithm: settings, loop } = config;
    return new Map(dotted({ environment, algorithm: settings, loop }));
  }
}

export const environmentOf = ({ config }: Run): string => basename(config.environment);

export type Point = { readonly step: number; readonly value: number };

/** Those of a metric, where it is finite. */
export const valuesOf = (records: Run['records'], metric: string): Point[] =>
  records.flatMap((record) => {
    const value = record[metric];
    return value !== undefined && Number.isFinite(value) ? [{ step: record.step, value }] : [];
  });

/** What a run published last, or why there is none. */
export async function publishedModel({ directory }: Run): Promise<ModelPackage | { readonly none: string }> {
  const publication = await readPublication(directory);
  if (publication === undefined) return { none: 'nothing is published' };
  try {
    return await readPackage(publication.directory);
  } catch {
    return { none: `what it published is gone or cannot be read: ${publication.directory}` };
  }
}

/** Whether a run came to its end once: it leaves its networks then. */
export const isOver = ({ directory }: Run): boolean => existsSync(join(directory, 'networks'));
