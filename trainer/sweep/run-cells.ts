/** Runs the cells of a sweep, each in a process, some at a time. Finished cells are skipped; begun ones are resumed. */

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../../src/files/durable-files.ts';
import { makeFolder, unwritableFolder } from '../../src/files/folders.ts';
import { saysInterrupted } from '../run/parent-process.ts';
import { isRunBegun } from '../run/run-directory.ts';
import { refuseOtherSettings, writeSettings } from './begun-settings.ts';
import type { Cell } from './cell.ts';

/** Written when a cell's process has ended well. */
const doneFile = 'sweep-done.json';
const outputFile = 'sweep-output.log';

export type CellEnd = { readonly cell: Cell; readonly how: 'done' | 'done before' | 'failed' | 'interrupted' };

export const isDone = ({ runDirectory }: Cell): boolean => existsSync(join(runDirectory, doneFile));

/**
 * @param options.command that the arguments of a cell follow, e.g. `[node, main.js]`
 * @param options.processCount at a time
 * @param options.signal aborting asks the processes to end, which leave their checkpoints, and begins no other
 * @param options.note told as each cell ends
 * @throws HyperpolicyError invalid_argument, before any cell begins: one was begun with other settings; failed_precondition: a file of a
 *   cell cannot be written, once the processes that ran have ended as if aborted
 */
export async function runCells(
  cells: readonly Cell[],
  options: {
    readonly command: readonly string[];
    readonly processCount: number;
    readonly signal: AbortSignal;
    readonly note: (end: CellEnd) => void;
  },
): Promise<CellEnd[]> {
  for (const cell of cells) refuseOtherSettings(cell);
  const ends: CellEnd[] = [];
  const waiting = [...cells];
  const failing = new AbortController();
  const signal = AbortSignal.any([options.signal, failing.signal]);
  const work = async (): Promise<void> => {
    for (let cell = waiting.shift(); cell !== undefined; cell = waiting.shift()) {
      const end = { cell, how: await runCell(cell, { ...options, signal }) };
      ends.push(end);
      options.note(end);
    }
  };
  const fail = (error: unknown) => {
    waiting.length = 0;
    failing.abort(error);
  };
  await Promise.all(Array.from({ length: options.processCount }, () => work().catch(fail)));
  failing.signal.throwIfAborted();
  return ends.sort((a, b) => a.cell.index - b.cell.index);
}

async function runCell(
  cell: Cell,
  { command, signal }: { readonly command: readonly string[]; readonly signal: AbortSignal },
): Promise<CellEnd['how']> {
  if (isDone(cell)) return 'done before';
  if (signal.aborted) return 'interrupted';
  const { runDirectory } = cell;
  const output = await writing(runDirectory, async () => {
    makeFolder(runDirectory);
    await writeSettings(cell);
    return openSync(join(runDirectory, outputFile), 'a');
  });
  const args = (await isRunBegun(runDirectory)) ? cell.resumeArguments : cell.trainArguments;
  // In a process group of its own: Ctrl-C must not reach it beside our signal, which would be its second. The channel closes if this
  // process is killed; the training then ends with a checkpoint.
  const [program, ...first] = command as [string, ...string[]];
  const child = spawn(program, [...first, ...args], { detached: true, stdio: ['ignore', output, output, 'ipc'] });
  let isInterrupted = false;
  child.on('message', (message) => {
    isInterrupted ||= saysInterrupted(message);
  });
  const stop = () => child.kill('SIGTERM');
  signal.addEventListener('abort', stop);
  // It may have come while the checkpoints were looked up.
  if (signal.aborted) stop();
  const code = await new Promise<number | null>((resolve) => {
    child.once('error', () => resolve(null));
    // Not `exit`, before which its last message may be missing.
    child.once('close', resolve);
  });
  signal.removeEventListener('abort', stop);
  closeSync(output);
  if (signal.aborted || isInterrupted) return 'interrupted';
  if (code !== 0) return 'failed';
  const done = `${JSON.stringify({ index: cell.index })}\n`;
  await writing(runDirectory, () => replaceFile(join(runDirectory, doneFile), done, 'sweep'));
  return 'done';
}

/** @throws HyperpolicyError failed_precondition: what is written cannot be */
async function writing<T>(runDirectory: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (cause) {
    throw unwritableFolder(`run directory "${runDirectory}"`, cause);
  }
}

/** The log of a cell's process. */
export const outputOf = ({ runDirectory }: Cell): string => join(runDirectory, outputFile);
