/** Outputs of a loop's metrics: JSON lines and a table, TensorBoard's event file, and the run's observer. */

import { join } from 'node:path';
import { type EventFile, openEventFile } from '../seeing/event-file.ts';
import { createScalars } from '../seeing/scalars.ts';
import type { RunContext } from './algorithm.ts';
import { type MetricFiles, openMetricFiles, readMetrics } from './metrics.ts';

export const tensorBoardDirectory = 'tensorboard';

/**
 * Opens the files of a run directory.
 * @param resumed the checkpoint that the run goes on from: records of later steps are dropped, and those beyond so many; fewer are warned of
 * @throws HyperpolicyError as openMetricFiles
 */
export function openRecords(
  { runDirectory, log, stepUnit, observer }: RunContext,
  resumed: { readonly step: number; readonly recordCount?: number | undefined } | undefined,
): MetricFiles {
  const warn = (line: string) => log?.warn({}, line);
  const { step: resumeStep, recordCount: resumeCount } = resumed ?? {};
  const files = openMetricFiles({ directory: runDirectory, resumeStep, resumeCount, warn });
  const scalarsOf = createScalars({ stepsAreEnvironmentSteps: stepUnit === 'steps' });
  const kept = resumed === undefined ? [] : readMetrics(runDirectory);
  const lacksRecords = resumeCount !== undefined && kept.length < resumeCount;
  if (lacksRecords) {
    warn(
      `metrics.jsonl has ${kept.length} of the ${resumeCount} records that checkpoint ${resumeStep} counts: the others are lost`,
    );
  }
  const keptScalars = kept.map((record) => ({ step: record.step, scalars: scalarsOf(record) }));
  // A resumed event file drops earlier events by their step. Those of the last kept step may be of dropped records, too: all of them go, and
  // the kept ones are written again. Events of records that are lost stay: the checkpoint counts them.
  const lastStep = kept.at(-1)?.step ?? 0;
  const resumedStep = lacksRecords ? resumeStep : resumed && lastStep - 1;
  const again = lacksRecords ? [] : keptScalars.filter(({ step }) => step === lastStep);
  observer?.begin(resumeStep ?? 0);
  const wallTimeS = () => Date.now() / 1000;
  let events: EventFile | undefined;
  let hasWarned = false;
  const attempt = (write: () => void) => {
    try {
      write();
    } catch (error) {
      if (!hasWarned) warn(`TensorBoard's events could not be written (${(error as Error).message}); training goes on`);
      hasWarned = true;
    }
  };
  attempt(() => {
    const directory = join(runDirectory, tensorBoardDirectory);
    events = openEventFile(directory, { wallTimeS: wallTimeS(), resumedStep });
    for (const { step, scalars } of again) events.write(step, wallTimeS(), scalars);
  });

  return {
    get recordCount() {
      return files.recordCount;
    },
    write(record) {
      files.write(record);
      attempt(() => events?.write(record.step, wallTimeS(), scalarsOf(record)));
      observer?.record(record);
    },
    flush() {
      files.flush();
      attempt(() => events?.flush());
    },
    close() {
      files.close();
      events?.close();
    },
  };
}
