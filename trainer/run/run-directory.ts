/** A run's directory: it belongs to one process at a time and to one run, and holds the config of that run. */

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { replaceFile } from '../../src/files/durable-files.ts';
import { makeWritableFolder, unwritableFolder } from '../../src/files/folders.ts';
import type { GivenSettings } from './algorithm.ts';
import { hasLoadable } from './checkpoint.ts';
import { checkpointDirectory } from './checkpoints.ts';
import type { GivenConfig } from './config.ts';
import { checkpointMessage, logFile, startMessage } from './logging.ts';
import { publicationFile } from './publication.ts';
import { tensorBoardDirectory } from './records.ts';
import { lockDirectory } from './run-lock.ts';
import { nearRun } from './run-names.ts';

const configFile = 'config.json';
/** Files of a run that ended before its first checkpoint; a new run removes them. */
const leftovers = [
  'metrics.jsonl',
  'metrics.csv',
  'learning-curve.svg',
  'best',
  'kept',
  tensorBoardDirectory,
  publicationFile,
];
/** What a new run removes or writes over. */
const taken = [...leftovers, configFile, 'networks'];

export type RunDirectory = {
  /** Whether the run goes on from a checkpoint; false if it begins at step 0. */
  readonly isResumed: boolean;
  /** Lets the next process in. */
  release(): void;
};

/**
 * Takes the directory for this process and writes the config.
 *
 * Without `resume` it must hold no checkpoint. A run that ended before its first one is begun again, with `resume` too: call
 * `requireSameRun` first. A run whose checkpoints are gone is not: that would remove what it has learnt.
 * @throws HyperpolicyError invalid_argument: it has a run already, or files of the same names that no run made; failed_precondition:
 *   another process trains in it, it cannot be written, or its run has lost its checkpoints
 */
export async function openRunDirectory(
  directory: string,
  { config, resume, resumeCommand }: { config: unknown; resume: boolean; resumeCommand?: string | undefined },
): Promise<RunDirectory> {
  makeWritableFolder(whereOf(directory), directory);
  const release = await lockDirectory(directory);
  try {
    const isBegun = await hasCheckpoint(directory);
    if (isBegun && !resume) throw hasRun(directory, resumeCommand);
    if (!isBegun) begin(directory, { isAgain: resume });
    await writeConfig(directory, config);
    return { isResumed: isBegun, release };
  } catch (error) {
    release();
    throw error;
  }
}

/**
 * Whether a new run may begin there, as openRunDirectory checks, too: call before what takes long.
 * @param resumeCommand as that of a run's failure
 * @throws HyperpolicyError invalid_argument: it has a run already
 */
export async function requireNoRun(directory: string, resumeCommand: string | undefined): Promise<void> {
  if (await hasCheckpoint(directory)) throw hasRun(directory, resumeCommand);
}

/**
 * Call before a run is resumed.
 * @throws HyperpolicyError failed_precondition: no run there; names one beside it that may be meant. Or one without its config
 */
export function requireRun(directory: string): void {
  if (existsSync(join(directory, configFile))) return;
  const ofRun = [...taken, logFile].map((name) => join(directory, name));
  // A new run would not take these, so leaving out --resume is not enough.
  if ([...ofRun, checkpointDirectory(directory)].some((path) => existsSync(path))) {
    const goOn = logTells(directory, startMessage)
      ? `To go on write it again: ${logFile} has its content at each start, as "config"`
      : 'Put it back to go on';
    throw failedPrecondition({
      where: whereOf(directory),
      expected: 'the config of the run in it',
      actual: `no ${configFile}`,
      remedy: `${goOn}. To begin another run leave out --resume, and name another directory with --run`,
    });
  }
  const near = nearRun(directory, hasRunConfig);
  throw failedPrecondition({
    where: whereOf(directory),
    expected: 'a run',
    actual: existsSync(directory) ? `a folder without ${configFile}` : 'nothing there',
    remedy: `${near === undefined ? 'Name the run with --run.' : `Did you mean --run ${near}?`} To begin a new one leave out --resume`,
  });
}

/** The part of a run's config that all versions write; completeConfig checks the rest. */
export type BegunConfig = GivenConfig & GivenSettings;

/**
 * The config that a run was begun with.
 * @throws HyperpolicyError failed_precondition: no run there, or its config is damaged
 */
export function readRunConfig(directory: string): BegunConfig {
  const path = join(directory, configFile);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw refusal(path, code === 'ENOENT' ? 'no file' : message, 'Name the directory of a run', cause);
  }
  const remedy = 'train.log has the settings of each start; write them back, or begin another run';
  let config: Partial<BegunConfig> | null;
  try {
    config = JSON.parse(text) as Partial<BegunConfig> | null;
  } catch (cause) {
    throw refusal(path, text.trim() === '' ? 'an empty file' : (cause as Error).message, remedy, cause);
  }
  const missing = Object.entries({ environment: 'string', algorithm: 'object', loop: 'object' } as const)
    .filter(([name, type]) => {
      const value = config?.[name] ?? undefined;
      return typeof value !== type;
    })
    .map(([name]) => name);
  if (missing.length > 0) throw refusal(path, `one without ${missing.join(', ')}`, remedy);
  return config as BegunConfig;
}

/** Whether there is something to resume. */
export const hasCheckpoint = async (directory: string): Promise<boolean> => hasLoadable(checkpointDirectory(directory));

/** Whether to resume: also one that was killed before its first checkpoint, which begins again and does not publish what it has published. */
export const isRunBegun = async (directory: string): Promise<boolean> =>
  (await hasCheckpoint(directory)) || hasRunConfig(directory);

/** Whether a run has begun there: its config is the first file that it writes. */
export function hasRunConfig(directory: string): boolean {
  try {
    readRunConfig(directory);
    return true;
  } catch {
    return false;
  }
}

/** Whether the log has a line with this message. */
function logTells(directory: string, message: string): boolean {
  const path = join(directory, logFile);
  return existsSync(path) && readFileSync(path, 'utf8').includes(`"msg":"${message}"`);
}

const refusal = (path: string, actual: string, remedy: string, cause?: unknown) =>
  failedPrecondition({ where: path, expected: 'the config of a run', actual, remedy, cause });

/** Written aside and renamed: a kill or a full disk leaves the config that was there. */
async function writeConfig(directory: string, config: unknown): Promise<void> {
  try {
    await replaceFile(join(directory, configFile), `${JSON.stringify(config, null, 2)}\n`, 'json');
  } catch (cause) {
    throw unwritableFolder(whereOf(directory), cause);
  }
}

const whereOf = (directory: string): string => `run directory "${directory}"`;

const hasRun = (directory: string, resumeCommand = '`resume: true`') =>
  invalidArgument({
    where: whereOf(directory),
    expected: 'an empty or new directory',
    actual: 'one with a run in it',
    remedy: `To begin another run name its directory with --run, or without --run another --model or --seed. To go on with that one: ${resumeCommand}`,
  });

/** @param options.isAgain it is the run that was begun there: what it published at its evaluations counts */
function begin(directory: string, { isAgain }: { readonly isAgain: boolean }): void {
  requireOwn(directory);
  if (logTells(directory, checkpointMessage)) {
    throw failedPrecondition({
      where: whereOf(directory),
      expected: 'the checkpoints of the run in it',
      actual: 'none, though train.log tells of some',
      remedy:
        'Put them back to go on; to train anew name another directory with --run, or remove this one, which has the metrics and the best networks',
    });
  }
  const removed = isAgain ? leftovers.filter((name) => name !== publicationFile) : leftovers;
  for (const name of removed) rmSync(join(directory, name), { recursive: true, force: true });
}

/**
 * Nothing else tells a run's files from those of somebody who names a folder of another kind, such as `--run .`.
 * @throws HyperpolicyError invalid_argument: there are files that a new run would remove or write over, and no run has begun there
 */
function requireOwn(directory: string): void {
  // The log begins before the first of the others. A config alone is a run's that was killed between the two, or settings for one.
  if (logTells(directory, startMessage)) return;
  const mayBeThere = hasRunConfig(directory) ? [configFile] : [];
  const foreign = taken.filter((name) => !mayBeThere.includes(name) && existsSync(join(directory, name)));
  if (foreign.length === 0) return;
  throw invalidArgument({
    where: whereOf(directory),
    expected: 'an empty or new directory',
    actual: `one with ${foreign.join(', ')}, which no run made`,
    remedy: 'Name another directory with --run, or move these away',
  });
}
