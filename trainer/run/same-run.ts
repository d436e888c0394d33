/** Whether a resumed run is the run that was begun: its settings, but for those that may be given again, and a length that it can have. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { Algorithm, GivenSettings } from './algorithm.ts';
import { checkpointSteps } from './checkpoint.ts';
import { checkpointDirectory, checkpointSettings } from './checkpoints.ts';
import { completeConfig } from './complete-config.ts';
import type { RunConfig } from './config.ts';
import { hasCheckpoint, readRunConfig, requireRun } from './run-directory.ts';
import { readSettings } from './unused-settings.ts';

/**
 * Call before anything is written to the directory.
 * @throws HyperpolicyError invalid_argument: a setting that differs; as requireRun, readRunConfig and completeConfig
 */
export async function requireSameRun(algorithm: Algorithm, runDirectory: string, config: RunConfig): Promise<void> {
  const path = join(runDirectory, 'config.json');
  // Not what config.json has: a person may have edited that.
  const kept = await checkpointSettings(runDirectory);
  // A checkpoint of a former version has what its loop compares.
  if (kept === undefined && !existsSync(path) && (await hasCheckpoint(runDirectory))) return;
  if (kept === undefined) requireRun(runDirectory);
  const begun = decidingSettings(algorithm, kept ?? completeConfig(algorithm, readRunConfig(runDirectory), path));
  const given = decidingSettings(algorithm, config);
  const names = [...new Set([...begun.keys(), ...given.keys()])].filter((name) => begun.get(name) !== given.get(name));
  if (names.length === 0) return;
  throw invalidArgument({
    where: 'resume',
    expected: `the settings that the run began with, ${listed(names, begun)}`,
    actual: listed(names, given),
    remedy: `Change them back, in ${path} or in the code that gives them, or begin another run`,
  });
}

/** Settings of these names as an error lists them: `gamma: 0.9, no tau`. */
export const listed = (names: readonly string[], settings: ReadonlyMap<string, string>): string =>
  names.map((name) => (settings.has(name) ? `${name}: ${settings.get(name)}` : `no ${name}`)).join(', ');

/**
 * Call before anything is written to the directory.
 * @throws HyperpolicyError invalid_argument: the run has done more steps
 */
export async function requireLength({ stepUnit }: Algorithm, runDirectory: string, stepCount: number): Promise<void> {
  const done = (await checkpointSteps(checkpointDirectory(runDirectory))).at(-1) ?? 0;
  if (stepCount >= done) return;
  throw invalidArgument({
    where: `resume: --${stepUnit}`,
    expected: `at least ${done}, the ${stepUnit} that the run has done`,
    actual: `${stepCount}`,
    remedy: `Give ${done} to publish what it has, or more to go on`,
  });
}

/** By dotted name, as JSON. */
function decidingSettings(algorithm: Algorithm, config: GivenSettings | RunConfig): Map<string, string> {
  const again = new Set(algorithm.resumable.map((name) => `loop.${name}`));
  const fixed = [...readSettings(algorithm, config)].filter(([name]) => !again.has(name));
  return new Map(fixed.map(([name, value]) => [name, JSON.stringify(value)]));
}
