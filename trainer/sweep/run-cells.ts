/** Runs the cells of a sweep, each in a process, some at a time. Finished cells are skipped; begun ones are resumed. */

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { replaceFile } from '../../src/files/durable-files.ts';
import { makeFolder } from '../../src/files/folders.ts';
import { saysInterrupted } from '../run/parent-process.ts';
import { hasCheckpoint } from '../run/run-directory.ts';
import type { Cell } from './sweep-file.ts';

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
  const ends: CellEnd[] = [];
  const waiting = [...cells];
  const work = async (): Promise<void> => {
    for (let cell = waiting.shift(); cell !== undefined; cell = waiting.shift()) {
      const end = { cell, how: await runCell(cell, options) };
      ends.push(end);
      options.note(end);
    }
  };
  await Promise.all(Array.from({ length: options.processCount }, work));
  return ends.sort((a, b) => a.cell.index - b.cell.index);
}

async function runCell(
  cell: Cell,
  { command, signal }: { readonly command: readonly string[]; readonly signal: AbortSignal },
): Promise<CellEnd['how']> {
  if (isDone(cell)) return 'done before';
  if (signal.aborted) return 'interrupted';
  const { runDirectory } = cell;
  const args = (await hasCheckpoint(runDirectory)) ? cell.resumeArguments : cell.trainArguments;
  makeFolder(runDirectory);
  const output = openSync(join(runDirectory, outputFile), 'a');
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
  await replaceFile(join(runDirectory, doneFile), `${JSON.stringify({ index: cell.index })}\n`, 'sweep');
  return 'done';
}

/** The log of a cell's process. */
export const outputOf = ({ runDirectory }: Cell): string => join(runDirectory, outputFile);
