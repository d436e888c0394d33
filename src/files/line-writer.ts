/**
 * Lines of a log on a file descriptor. Each is written at once, whole or, where that fails, not waited for: a full disk or a reader that
 * does not read must neither end nor stop what the log tells of.
 */

import { writeSync } from 'node:fs';

/** Longest wait for the reader of a pipe that does not block. */
const waitMsMax = 100;
const waitStepMs = 5;
const neverNotified = new Int32Array(new SharedArrayBuffer(4));

/** @param onLost called for each line that could not be written, with the system's error */
export function createLineWriter(descriptor: number, onLost: (error: Error) => void): { write(line: string): void } {
  /** The last line was begun and not ended. */
  let isBroken = false;
  /** The reader of the pipe was waited for in vain; it is not waited for again until it has read. */
  let isStuck = false;
  return {
    write(line) {
      const bytes = Buffer.from(isBroken ? `\n${line}` : line);
      let writtenCount = 0;
      let waitedMs = 0;
      while (writtenCount < bytes.length) {
        try {
          writtenCount += writeSync(descriptor, bytes, writtenCount);
        } catch (error) {
          isStuck ||= (error as NodeJS.ErrnoException).code !== 'EAGAIN' || waitedMs >= waitMsMax;
          if (isStuck) {
            isBroken ||= writtenCount > 0;
            onLost(error as Error);
            return;
          }
          waitedMs += waitStepMs;
          Atomics.wait(neverNotified, 0, 0, waitStepMs);
        }
      }
      isBroken = false;
      isStuck = false;
    },
  };
}
