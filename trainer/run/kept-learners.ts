/**
 * Copies of the learner that a run keeps at chosen steps, `kept/<step>/`, with the files of a checkpoint: studies of a run's course read
 * them. Nothing resumes from them, so they have no replay buffer and no environments.
 */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { notFound } from '../../src/contract/errors.ts';
import type { Algorithm, RunContext } from './algorithm.ts';
import { checkpointSteps, loadCheckpoint, removeCheckpointsAfter, saveCheckpoint } from './checkpoint.ts';
import { checkpointDirectory } from './checkpoints.ts';
import { splitParts } from './parts.ts';
import { singleUnit } from './progress.ts';
import type { SavedState } from './saved-state.ts';

const keptDirectory = (runDirectory: string) => join(runDirectory, 'kept');

export type KeptLearners = {
  /** Whether a chosen step is among those after `from` up to `to`. */
  isReached(steps: { readonly from: number; readonly to: number }): boolean;
  /** Writes a copy, unless this step has one. If it fails there is a warning, and training goes on. */
  keep(step: number, learner: SavedState): Promise<void>;
};

/** Warns of chosen steps that the run does not reach. @param lastStep of the run */
export function createKeptLearners(
  { runDirectory, keptSteps = [], stepUnit, log }: RunContext,
  lastStep: number,
): KeptLearners {
  const directory = keptDirectory(runDirectory);
  const beyond = keptSteps.filter((step) => step > lastStep);
  if (beyond.length > 0) {
    const fields = { [stepUnit]: beyond.join(', ') };
    log?.warn(fields, `--keep-at names ${stepUnit} beyond the last, ${lastStep}: no learner of them is kept`);
  }
  return {
    isReached: ({ from, to }) => keptSteps.some((step) => from < step && step <= to),
    async keep(step, learner) {
      // A run that resumes at this step has the same one.
      if (existsSync(join(directory, String(step)))) return;
      try {
        const keepSteps = await checkpointSteps(directory);
        const path = await saveCheckpoint(directory, { step, ...learner }, { keepSteps });
        log?.info({ step, path }, 'learner kept');
      } catch (error) {
        const fields = { step, error: (error as Error).message };
        log?.warn(fields, 'the learner could not be kept; training goes on');
      }
    },
  };
}

/** Removes the learners of later steps. A resumed run does these steps again. */
export const removeKeptAfter = (runDirectory: string, step: number): Promise<void> =>
  removeCheckpointsAfter(keptDirectory(runDirectory), step);

export type LearnerOfStep = { readonly step: number; readonly learner: SavedState };

/**
 * The learner of a run as it was after a step: one that was kept, or that of a checkpoint. Changes nothing in the directory.
 * @param step that of the newest checkpoint unless given
 * @param algorithm of the run, for errors
 * @throws HyperpolicyError not_found: there is none of that step; invalid_argument: it is damaged
 */
export async function loadLearner(
  runDirectory: string,
  step?: number,
  { stepUnit }: Pick<Algorithm, 'stepUnit'> = { stepUnit: 'steps' },
): Promise<LearnerOfStep> {
  const [kept, checkpoints] = [keptDirectory(runDirectory), checkpointDirectory(runDirectory)];
  const [keptSteps, resumable] = [await checkpointSteps(kept), await checkpointSteps(checkpoints)];
  const wanted = step ?? resumable.at(-1);
  if (wanted !== undefined && keptSteps.includes(wanted)) {
    return { step: wanted, learner: await loadCheckpoint(join(kept, String(wanted))) };
  }
  if (wanted !== undefined && resumable.includes(wanted)) {
    const { parts } = splitParts(await loadCheckpoint(join(checkpoints, String(wanted))), ['learner']);
    return { step: wanted, learner: parts.learner };
  }
  const steps = [...new Set([...keptSteps, ...resumable])].sort((a, b) => a - b);
  throw notFound({
    where: `run directory "${runDirectory}"`,
    expected: step === undefined ? 'a checkpoint' : `a learner of ${singleUnit(stepUnit)} ${step}`,
    actual: steps.length === 0 ? 'none' : `those of ${stepUnit} ${steps.join(', ')}`,
    remedy:
      step === undefined
        ? 'Train first; a run has checkpoints as it goes on'
        : `Name one of its ${stepUnit}, or keep this one: train with --keep-at ${step}`,
  });
}
