/** Whether a resumed run is the run that was begun: its settings, but for those that may be given again, and a length that it can have. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { Algorithm } from './algorithm.ts';
import { checkpointSteps } from './checkpoint.ts';
import { checkpointDirectory } from './checkpoints.ts';
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
  // A checkpoint has what decides the run as well.
  if (!existsSync(path) && (await hasCheckpoint(runDirectory))) return;
  requireRun(runDirectory);
  const begun = decidingSettings(algorithm, completeConfig(algorithm, readRunConfig(runDirectory), path));
  const given = decidingSettings(algorithm, config);
  for (const name of new Set([...begun.keys(), ...given.keys()])) {
    if (begun.get(name) === given.get(name)) continue;
    throw invalidArgument({
      where: `resume: ${name}`,
      expected: `${begun.get(name) ?? 'nothing'}, as the run began`,
      actual: given.get(name) ?? 'nothing',
      remedy: 'Leave it out to go on with the run, or begin another one',
    });
  }
}

/**
 * Call before anything is written to the directory.
 * @throws HyperpolicyError invalid_argument: the run has done more steps
 */
export async function requireLength(
  { stepUnit = 'steps' }: Algorithm,
  runDirectory: string,
  stepCount: number,
): Promise<void> {
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
function decidingSettings(algorithm: Algorithm, config: RunConfig): Map<string, string> {
  const again = new Set(algorithm.resumable.map((name) => `loop.${name}`));
  const fixed = [...readSettings(algorithm, config)].filter(([name]) => !again.has(name));
  return new Map(fixed.map(([name, value]) => [name, JSON.stringify(value)]));
}
