/** Structured logs of a run: JSON lines in `train.log` of the run directory. Warnings are also shown on the terminal. */

import { openSync } from 'node:fs';
import { join } from 'node:path';
import pino, { type Logger } from 'pino';
import { makeFolder, unwritableFolder } from '../../src/files/folders.ts';
import { createLineWriter } from '../../src/files/line-writer.ts';

export type RunLogger = Logger;

export const logFile = 'train.log';
/** The message of each start. */
export const startMessage = 'training starts';
/** The message of each checkpoint. */
export const checkpointMessage = 'checkpoint';

/**
 * Opens the log and appends to an earlier one. Each line is written at once: a run logs few lines, and a kill must not lose them.
 * @param options.unit of the run's steps, in the singular: what the person reads in place of the field `step`
 * @param options.warn shows one line of text, e.g. `Progress.print`
 * @throws HyperpolicyError failed_precondition: it cannot be written
 */
export function openRunLog({
  directory,
  unit,
  warn,
}: {
  directory: string;
  unit: string;
  warn: (line: string) => void;
}): RunLogger {
  makeFolder(directory);
  // A full disk must not end the run. Warnings reach the person besides.
  const file = createLineWriter(openLog(directory), () => {});
  const person = { write: (line: string) => warn(warningText(line, unit)) };
  return pino(
    { base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.multistream([
      { level: 'info', stream: file },
      { level: 'warn', stream: person },
    ]),
  );
}

function openLog(directory: string): number {
  try {
    return openSync(join(directory, logFile), 'a');
  } catch (cause) {
    throw unwritableFolder(`${logFile} of run directory "${directory}"`, cause);
  }
}

/** `warning: message (field value, ...)` from a log line. */
function warningText(line: string, unit: string): string {
  const { level, time: _, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
  const details = Object.entries(fields).map(([name, value]) => `${name === 'step' ? unit : name} ${plain(value)}`);
  const suffix = details.length === 0 ? '' : ` (${details.join(', ')})`;
  return `${level === pino.levels.values.warn ? 'warning' : 'error'}: ${msg}${suffix}`;
}

function plain(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'message' in value) return String(value.message);
  return typeof value === 'string' ? value : JSON.stringify(value);
}
