/** The log of a serving process: JSON lines on standard output. */

import { writeSync } from 'node:fs';
import pino, { type Logger } from 'pino';
import { createLineWriter } from '../../src/files/line-writer.ts';
import type { ServerConfig } from '../config.ts';

/** Of this process, which has one standard output. */
let droppedCount = 0;

/** Lines that could not be written, since this process began. */
export const droppedLineCount = (): number => droppedCount;

/** A line that cannot be written is dropped, and counted. pino's own destination would try for ever, also while the process exits. */
export function createLog(level: ServerConfig['logLevel']): Logger {
  return pino({ level }, createLineWriter(1, drop));
}

/** Says it once, on standard error. */
function drop({ message }: Error): void {
  droppedCount++;
  if (droppedCount > 1) return;
  const text = `log: a line cannot be written to standard output (${message}). It is dropped, as are others; hyperpolicy_log_lines_dropped_total counts them\n`;
  try {
    writeSync(2, text);
  } catch {
    // Often the same disk or terminal. The count remains.
  }
}
