/** The evaluations of a run so far: their records, the learning curve, and the learner of the best one on the disk. */

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Evaluation } from '../../src/package/manifest.ts';
import type { RunContext } from './algorithm.ts';
import { loadCheckpoint, removeCheckpointsAfter, saveCheckpoint } from './checkpoint.ts';
import { writeLearningCurve } from './learning-curve.ts';
import { singleUnit } from './progress.ts';
import { returnTexts } from './return-text.ts';
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
  /** The best of those after the warm-up whose return is finite and whose learner is on the disk; of equal ones the latest. */
  best(): Evaluation | undefined;
  /** Adds one with the returns that it is the mean of, draws the curve again once a minute, and writes the learner to the disk if it is the best so far. Also calls `evaluated` of the run. */
  add(evaluation: Evaluation, returns: readonly number[], save: () => SavedState): Promise<void>;
  /** Call after each checkpoint. The best learner of that time stays on the disk for a run that resumes from it. */
  noteCheckpoint(): void;
  /** Call at the end of the run: draws the curve as it is then. */
  finish(): Promise<void>;
};

type EvaluationsOptions = {
  /** Of the learning curve. */
  readonly title: string;
  /** Evaluations up to this step are never the best: nothing was learnt yet. */
  readonly warmUpStepCount: number;
  /** Evaluations that the run had at the checkpoint from which it resumes. */
  readonly before: readonly Evaluation[];
};

export const createEvaluations = (run: RunContext, options: EvaluationsOptions): Evaluations =>
  new RunEvaluations(run, options);

class RunEvaluations implements Evaluations {
  readonly list: Evaluation[];
  readonly #run: RunContext;
  readonly #options: EvaluationsOptions;
  readonly #now: () => number;
  #best: Evaluation | undefined;
  #bestAtCheckpoints: readonly number[] = [];
  #drawnAt: number;
  #drawnCount = 0;

  constructor(run: RunContext, options: EvaluationsOptions) {
    const { now = () => performance.now() } = run;
    this.list = [...options.before];
    this.#run = run;
    this.#options = options;
    this.#now = now;
    for (const one of this.list) if (isBetter(one, this.#best) && this.#isKept(one)) this.#best = one;
    this.#drawnAt = now();
  }

  best(): Evaluation | undefined {
    return this.#best;
  }

  async add(evaluation: Evaluation, returns: readonly number[], save: () => SavedState): Promise<void> {
    const { log, reporter, evaluated, stepUnit } = this.#run;
    const { step, meanReturn, standardDeviation, episodeCount, before } = evaluation;
    this.list.push(evaluation);
    if (this.#now() - this.#drawnAt >= drawIntervalMs) await this.finish();
    log?.info({ step, meanReturn, standardDeviation, returns }, 'evaluation');
    const isAfterWarmUp = step > this.#options.warmUpStepCount;
    if (isAfterWarmUp && isBetter(evaluation, this.#best)) {
      await this.#attempt('the best policy so far', step, () => this.#saveBest(step, save()));
      if (this.#isKept(evaluation)) this.#best = evaluation;
    }
    if (isAfterWarmUp && evaluated !== undefined) {
      await this.#attempt('the version of this evaluation', step, () => evaluated([...this.list], save()));
    }
    const [mean, deviation] = returnTexts(meanReturn, standardDeviation);
    const result = `${mean} +- ${deviation} over ${spreadText(returns.length, episodeCount)}`;
    reporter?.print(`${singleUnit(stepUnit)} ${step}: evaluation return ${result}`, {
      of: 'evaluation',
      value: before === undefined ? meanReturn : [before.meanReturn, meanReturn],
    });
  }

  noteCheckpoint(): void {
    const step = this.best()?.step;
    this.#bestAtCheckpoints = [...this.#bestAtCheckpoints.slice(-1), ...(step === undefined ? [] : [step])];
  }

  async finish(): Promise<void> {
    const { runDirectory, stepUnit } = this.#run;
    const evaluation = this.list.at(-1);
    if (evaluation === undefined || this.#drawnCount === this.list.length) return;
    await this.#attempt('the learning curve', evaluation.step, () =>
      writeLearningCurve(runDirectory, this.list, { title: this.#options.title, stepUnit }),
    );
    this.#drawnAt = this.#now();
    this.#drawnCount = this.list.length;
  }

  /** Only those that could be written count: they can be published. */
  #isKept({ step }: Evaluation): boolean {
    const directory = bestDirectory(this.#run.runDirectory);
    return step > this.#options.warmUpStepCount && existsSync(join(directory, String(step)));
  }

  #saveBest(step: number, saved: SavedState): Promise<unknown> {
    const directory = bestDirectory(this.#run.runDirectory);
    return saveCheckpoint(directory, { step, ...saved }, { keepSteps: this.#bestAtCheckpoints });
  }

  /** A log, a picture or a copy that cannot be written is no reason to stop. */
  async #attempt(what: string, step: number, write: () => unknown): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#run.log?.warn({ step, error: (error as Error).message }, `${what} could not be written; training goes on`);
    }
  }
}

/** Of equal ones the latest is the best. NaN compares with nothing, so no return that is not finite may ever be the best. */
const isBetter = ({ meanReturn }: Evaluation, best: Evaluation | undefined): boolean =>
  Number.isFinite(meanReturn) && (best === undefined || meanReturn >= best.meanReturn);

/** What a mean is over: the returns are those of the episodes, or of tasks with several episodes each. */
function spreadText(returnCount: number, episodeCount: number): string {
  if (returnCount === episodeCount) return counted(episodeCount, 'episode');
  return `${counted(returnCount, 'task')}, ${counted(episodeCount / returnCount, 'episode')} each`;
}

const counted = (count: number, name: string): string => `${count} ${name}${count === 1 ? '' : 's'}`;
