/** The run that a study reads: its config, and its learner after one of its steps. Nothing in its directory is changed. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { invalidArgument, notFound } from '../../src/contract/errors.ts';
import { loadAlgorithm } from '../algorithms/registry.ts';
import { createEngine } from '../engine/choose.ts';
import type { Setup } from '../run/algorithm.ts';
import { completeConfig } from '../run/complete-config.ts';
import type { RunConfig } from '../run/config.ts';
import { openEnvironment } from '../run/environment/open.ts';
import { environmentPlace } from '../run/environment-place.ts';
import { type LearnerOfStep, loadLearner } from '../run/kept-learners.ts';
import { readRunConfig } from '../run/run-directory.ts';

export type StudiedRun = LearnerOfStep & {
  /** The settings of the run, with the study's thread count. */
  readonly config: RunConfig;
};

export type ReadOptions = {
  readonly runDirectory: string;
  /** As in the command, for errors. */
  readonly study: string;
  /** Of which the study is. */
  readonly algorithms: readonly string[];
  /** That of the newest checkpoint unless given. */
  readonly step?: number | undefined;
  /** Those of the run unless given. */
  readonly threadCount?: number | undefined;
};

/**
 * @throws HyperpolicyError not_found: no run there, or none of its learners is of this step; invalid_argument: a run of another
 *   algorithm, or a damaged one
 */
export async function readStudiedRun(options: ReadOptions): Promise<StudiedRun> {
  const { runDirectory, study, algorithms, step, threadCount } = options;
  const where = `analyse ${study}: run directory "${runDirectory}"`;
  const remedy = `Name the directory of a run of "hyperpolicy train ${algorithms[0]!}"`;
  const path = join(runDirectory, 'config.json');
  if (!existsSync(path)) throw notFound({ where, expected: 'a run', actual: 'no config.json', remedy });
  const begun = readRunConfig(runDirectory);
  const { name } = begun.algorithm;
  if (typeof name !== 'string' || !algorithms.includes(name)) {
    const actual = typeof name === 'string' ? `one of ${name}` : 'one that names no algorithm';
    throw invalidArgument({ where, expected: `a run of ${algorithms.join(' or ')}`, actual, remedy });
  }
  const given = threadCount === undefined ? begun : { ...begun, threadCount };
  const algorithm = await loadAlgorithm(name);
  const config = completeConfig(algorithm, given, path);
  return { config, ...(await loadLearner(runDirectory, step, algorithm)) };
}

/** Environment and engine of a run for the length of `use`. @param tell shows a line to the person */
export async function withSetup<T>(
  config: RunConfig,
  tell: (line: string) => void,
  use: (setup: Setup) => Promise<T>,
): Promise<T> {
  const { threadCount, device } = config;
  const environment = await openEnvironment(environmentPlace(config), { signal: undefined, tell });
  try {
    const engine = await createEngine(config.engine ?? 'traced', { threadCount, device });
    return await use({ config, environment, engine });
  } finally {
    await environment.dispose();
  }
}
