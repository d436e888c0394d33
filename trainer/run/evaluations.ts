/** The evaluations of a run so far: their records, the learning curve, and the learner of the best one on the disk. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Evaluation } from '../../src/package/manifest.ts';
import type { RunContext } from './algorithm.ts';
import { loadCheckpoint, removeCheckpointsAfter, saveCheckpoint } from './checkpoint.ts';
import { writeLearningCurve } from './learning-curve.ts';
import type { SavedState } from './saved-state.ts';

const bestDirectory = (runDirectory: string) => join(runDirectory, 'best');

/**
 * The learner's state at the run's best evaluation.
 * @throws HyperpolicyError invalid_argument: it is missing or damaged
 */
export const loadBestLearner = (runDirectory: string, best: Evaluation): Promise<SavedState> =>
  loadCheckpoint(join(bestDirectory(runDirectory), String(best.step)));

/** Removes the best learners of later steps. A resumed run does these steps again. */
export const removeBestAfter = (runDirectory: string, step: number): Promise<void> =>
  removeCheckpointsAfter(bestDirectory(runDirectory), step);

/** A picture takes a tenth of a second of the learner's time. */
const drawIntervalMs = 60_000;

export type Evaluations = {
  /** In order of their steps. */
  readonly list: readonly Evaluation[];
  /** The best of those after the warm-up whose learner is on the disk; of equal ones the latest. */
  best(): Evaluation | undefined;
  /** Adds one, draws the curve again once a minute, and writes the learner to the disk if it is the best so far. Also calls `evaluated` of the run. */
  add(evaluation: Evaluation, returns: readonly number[], save: () => SavedState): Promise<void>;
  /** Call after each checkpoint. The best learner of that time stays on the disk for a run that resumes from it. */
  noteCheckpoint(): void;
  /** Call at the end of the run: draws the curve as it is then. */
  finish(): Promise<void>;
};

/**
 * @param options.title of the learning curve
 * @param options.warmUpStepCount evaluations up to this step are never the best: nothing was learnt yet
 * @param options.before evaluations that the run had at the checkpoint from which it resumes
 */
export function createEvaluations(
  { runDirectory, log, reporter, stepUnit, evaluated, now = () => performance.now() }: RunContext,
  options: { readonly title: string; readonly warmUpStepCount: number; readonly before: readonly Evaluation[] },
): Evaluations {
  const list = [...options.before];
  let bestAtCheckpoints: readonly number[] = [];
  let drawnAt = now();
  let drawnCount = 0;
  // Only those that could be written count: they can be published.
  const isKept = ({ step }: Evaluation) =>
    step > options.warmUpStepCount && existsSync(join(bestDirectory(runDirectory), String(step)));
  const best = () =>
    list
      .filter(isKept)
      .reduce<Evaluation | undefined>(
        (former, next) => (former === undefined || next.meanReturn >= former.meanReturn ? next : former),
        undefined,
      );

  /** A log, a picture or a copy that cannot be written is no reason to stop. */
  async function attempt(what: string, step: number, write: () => unknown): Promise<void> {
    try {
      await write();
    } catch (error) {
      log?.warn({ step, error: (error as Error).message }, `${what} could not be written; training goes on`);
    }
  }

  async function draw(): Promise<void> {
    const evaluation = list.at(-1);
    if (evaluation === undefined || drawnCount === list.length) return;
    await attempt('the learning curve', evaluation.step, () =>
      writeLearningCurve(runDirectory, list, { title: options.title, stepUnit }),
    );
    drawnAt = now();
    drawnCount = list.length;
  }

  return {
    list,
    best,
    finish: draw,
    async add(evaluation, returns, save) {
      const { step, meanReturn, standardDeviation, episodeCount } = evaluation;
      const former = best();
      list.push(evaluation);
      if (now() - drawnAt >= drawIntervalMs) await draw();
      log?.info({ step, meanReturn, standardDeviation, returns }, 'evaluation');
      const isBest = step > options.warmUpStepCount && (former === undefined || meanReturn >= former.meanReturn);
      if (isBest) {
        await attempt('the best policy so far', step, () =>
          saveCheckpoint(bestDirectory(runDirectory), { step, ...save() }, { keepSteps: bestAtCheckpoints }),
        );
      }
      if (step > options.warmUpStepCount && evaluated !== undefined) {
        await attempt('the version of this evaluation', step, () => evaluated([...list], save()));
      }
      reporter?.print(
        `step ${step}: evaluation return ${meanReturn.toFixed(1)} +- ${standardDeviation.toFixed(1)} over ${episodeCount} episodes`,
      );
    },
    noteCheckpoint() {
      const step = best()?.step;
      bestAtCheckpoints = [...bestAtCheckpoints.slice(-1), ...(step === undefined ? [] : [step])];
    },
  };
}
