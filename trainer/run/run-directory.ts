/** A run's directory as a whole: one process at a time, one run for good, and the config that it was begun with. */

import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { failedPrecondition, invalidArgument } from '../../src/spec/errors.ts';
import { checkpointSteps } from './checkpoint.ts';

const configFile = 'config.json';
const lockFile = 'lock';
/** What a run without a checkpoint leaves: nothing that could be continued. */
const leftovers = ['metrics.jsonl', 'metrics.csv', 'learning-curve.svg', 'best'];

export type RunDirectory = {
  /** Lets the next process in. */
  release(): void;
};

/**
 * Takes the directory for this process and writes the config.
 *
 * Without `resume` it must hold no checkpoint; a run that ended before its first one is begun again.
 * @throws HyperpolicyError invalid_argument: it has a run already; failed_precondition: another process trains in it, or
 *   it cannot be written
 */
export async function openRunDirectory(
  directory: string,
  { config, resume }: { config: unknown; resume: boolean },
): Promise<RunDirectory> {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw failedPrecondition({
      where: `run directory "${directory}"`,
      expected: 'a directory that can be written',
      actual: (cause as Error).message,
      cause,
    });
  }
  const release = lock(directory);
  try {
    if (!resume) await begin(directory);
    writeFileSync(join(directory, configFile), `${JSON.stringify(config, null, 2)}\n`);
  } catch (error) {
    release();
    throw error;
  }
  return { release };
}

/**
 * The config that a run was begun with.
 * @throws HyperpolicyError failed_precondition: no run there
 */
export function readRunConfig<Config>(directory: string): Config {
  const path = join(directory, configFile);
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Config;
  } catch (cause) {
    throw failedPrecondition({
      where: `resume: ${path}`,
      expected: 'the config of a run',
      actual: (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'no file' : (cause as Error).message,
      remedy: 'Start the run without --resume',
      cause,
    });
  }
}

/** Whether there is something to resume. */
export const hasCheckpoint = async (directory: string): Promise<boolean> =>
  (await checkpointSteps(join(directory, 'checkpoints'))).length > 0;

async function begin(directory: string): Promise<void> {
  if (await hasCheckpoint(directory)) {
    throw invalidArgument({
      where: `run directory "${directory}"`,
      expected: 'an empty or new directory',
      actual: 'one with a run in it',
      remedy: 'Resume that run with --resume, or name another directory',
    });
  }
  for (const name of leftovers) rmSync(join(directory, name), { recursive: true, force: true });
}

/** A file with this process's id; one whose process is gone does not count. */
function lock(directory: string): () => void {
  const path = join(directory, lockFile);
  for (let attempt = 0; ; attempt++) {
    try {
      const file = openSync(path, 'wx');
      writeSync(file, String(process.pid));
      closeSync(file);
      return () => rmSync(path, { force: true });
    } catch (cause) {
      const held = (cause as NodeJS.ErrnoException).code === 'EEXIST';
      if (held && attempt === 0 && !isRunning(ownerOf(path))) {
        rmSync(path, { force: true });
        continue;
      }
      throw failedPrecondition({
        where: `run directory "${directory}"`,
        expected: 'one that no other process trains in',
        actual: held ? `process ${ownerOf(path)} at work` : (cause as Error).message,
        remedy: 'Wait for it, or name another directory',
        cause,
      });
    }
  }
}

function ownerOf(path: string): number {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return Number.NaN; // released in between
  }
}

function isRunning(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
