/** Whole runs of the command in a folder, and what they leave. */

import { join } from 'node:path';
import { expect } from 'vitest';
import { loadNewestCheckpoint } from '../../trainer/run/checkpoint.ts';
import { readMetrics } from '../../trainer/run/metrics.ts';
import { type Running, startCommand } from '../clients/command.ts';

/** @param folder where the runs are; asked when it exists */
export function commandRuns(algorithm: string, folder: () => string) {
  /** Starts a run with this name, or resumes it. */
  const train = (run: string, more: readonly string[]): Running =>
    startCommand(['train', algorithm, '--run', run, '--publish', 'none', ...more], folder());
  return {
    train,
    /** The last line of a run that ends well. */
    async finish(run: string, more: readonly string[]): Promise<Record<string, number>> {
      const { code, stdout, stderr } = await train(run, more).finished;
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout.trim().split('\n').at(-1)!);
    },
    /** Everything that a run leaves, but times. */
    async left(run: string) {
      const directory = join(folder(), run);
      const checkpoint = await loadNewestCheckpoint(join(directory, 'checkpoints'));
      const records = readMetrics(directory).map((record) =>
        Object.fromEntries(Object.entries(record).filter(([name]) => !/seconds$/i.test(name))),
      );
      return { step: checkpoint!.step, arrays: checkpoint!.arrays, records };
    },
  };
}
