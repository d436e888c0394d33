/**
 * The evaluations of a run, of which one may run in another thread while the learner goes on. What is recorded meanwhile waits for
 * it, so that the metric files have every record in the order of its step, however long an evaluation takes. A checkpoint keeps an
 * evaluation that runs: the learner as it was then, and the records that wait. A resumed run makes it again.
 */

import type { Evaluation } from '../../src/package/manifest.ts';
import type { OffPolicyLearner } from '../off-policy/learner.ts';
import type { RunContext } from '../run/algorithm.ts';
import { createEvaluations, type Evaluations } from '../run/evaluations.ts';
import type { Evaluated, Evaluator } from '../run/evaluator.ts';
import type { MetricRecord } from '../run/metrics.ts';
import type { LatestReturn } from '../run/progress.ts';
import { copyOf, type SavedState } from '../run/saved-state.ts';
import type { OffPolicyConfig } from './off-policy-config.ts';

export type EvaluationsState = {
  readonly list: readonly Evaluation[];
  readonly outOfRangeReturn: number | null;
  /** The one that runs; null if none does, or if it is of the checkpoint's own step. */
  readonly running: {
    readonly at: Place;
    readonly waiting: readonly MetricRecord[];
    readonly learner: SavedState['state'];
  } | null;
};

type Place = Pick<MetricRecord, 'step' | 'seconds'>;

/** One that runs. */
type Flight = {
  readonly at: Place;
  readonly learner: () => SavedState;
  readonly result: Promise<Evaluated>;
  readonly waiting: MetricRecord[];
  isOver: boolean;
};

export type EvaluationsInFlight = Pick<Evaluations, 'list' | 'best' | 'noteCheckpoint' | 'finish'> & {
  /** Step of the newest evaluation, including a running one. */
  readonly latestStep: number | undefined;
  /** Whether one has run to its end and waits for `settle`. */
  readonly isOver: boolean;
  /** Return of the newest episode or evaluation, for the display. */
  latestReturn: LatestReturn | undefined;
  /** Return on tasks out of the training range in the newest evaluation, if the environment has such tasks. */
  readonly outOfRangeReturn: number | undefined;
  /** Writes a record, once the evaluation before it is written. */
  record(record: MetricRecord): void;
  /**
   * Evaluates the learner as it is now. The one before is waited for; this one, too, if it cannot run beside the learner.
   * @throws as `settle`
   */
  begin(step: number, seconds: number): Promise<void>;
  /**
   * Waits for the one that runs, if any, and enters it.
   * @throws what the evaluator throws; the evaluation then counts as running, so that a checkpoint keeps it
   */
  settle(): Promise<void>;
  /** @param step of the checkpoint */
  save(step: number): SavedState;
  /** Begins the evaluation again that ran. The learner has the state of that evaluation after it. */
  restore(saved: SavedState): Promise<void>;
};

type Options = RunContext & {
  readonly evaluator: Evaluator;
  readonly learner: OffPolicyLearner;
  readonly config: OffPolicyConfig;
};

type Use = {
  /** Of the learning curve. */
  readonly title: string;
  readonly write: (record: MetricRecord) => void;
  readonly saved: EvaluationsState | undefined;
};

export const createEvaluationsInFlight = (options: Options, use: Use): EvaluationsInFlight =>
  new InFlight(options, use);

class InFlight implements EvaluationsInFlight {
  latestReturn: LatestReturn | undefined;
  readonly #options: Options;
  readonly #write: Use['write'];
  readonly #evaluations: Evaluations;
  #outOfRangeReturn: number | undefined;
  #flight: Flight | undefined;

  constructor(options: Options, { title, write, saved }: Use) {
    const { warmUpStepCount } = options.config;
    this.#options = options;
    this.#write = write;
    this.#evaluations = createEvaluations(options, { title, warmUpStepCount, before: saved?.list ?? [] });
    this.#outOfRangeReturn = saved?.outOfRangeReturn ?? undefined;
    const last = this.list.at(-1);
    this.latestReturn = last && { of: 'evaluation', value: last.meanReturn };
  }

  get list(): readonly Evaluation[] {
    return this.#evaluations.list;
  }

  get latestStep(): number | undefined {
    return (this.#flight?.at ?? this.list.at(-1))?.step;
  }

  get isOver(): boolean {
    return this.#flight?.isOver === true;
  }

  get outOfRangeReturn(): number | undefined {
    return this.#outOfRangeReturn;
  }

  best(): Evaluation | undefined {
    return this.#evaluations.best();
  }

  noteCheckpoint(): void {
    this.#evaluations.noteCheckpoint();
  }

  finish(): Promise<void> {
    return this.#evaluations.finish();
  }

  record(record: MetricRecord): void {
    if (this.#flight === undefined) this.#write(record);
    else this.#flight.waiting.push(record);
  }

  begin(step: number, seconds: number): Promise<void> {
    return this.#begin({ step, seconds }, []);
  }

  async settle(): Promise<void> {
    if (this.#flight === undefined) return;
    const { at, learner, result, waiting } = this.#flight;
    const evaluated = await result;
    this.#flight = undefined;
    this.#writeResult(at, evaluated);
    for (const record of waiting) this.#write(record);
    const { meanReturn, standardDeviation, returns } = evaluated.inRange;
    const evaluation = { step: at.step, meanReturn, standardDeviation, episodeCount: this.#episodeCount };
    await this.#evaluations.add(evaluation, returns, learner);
  }

  save(step: number): SavedState {
    const flight = this.#flight?.at.step === step ? undefined : this.#flight;
    const { arrays, state: learner } = flight === undefined ? { arrays: {}, state: null } : flight.learner();
    const running = flight === undefined ? null : { at: flight.at, waiting: flight.waiting, learner };
    const state = { list: this.list, outOfRangeReturn: this.#outOfRangeReturn ?? null, running };
    return { arrays, state: state satisfies EvaluationsState };
  }

  async restore({ arrays, state }: SavedState): Promise<void> {
    const { running } = state as EvaluationsState;
    if (running === null) return;
    this.#options.learner.restore({ arrays, state: running.learner });
    await this.#begin(running.at, running.waiting);
  }

  get #episodeCount(): number {
    return this.#options.config.evaluationEpisodeCount;
  }

  async #begin(at: Place, waiting: readonly MetricRecord[]): Promise<void> {
    await this.settle();
    this.#flight = this.#takeOff(at, waiting);
    if (!this.#options.evaluator.isConcurrent) await this.settle();
  }

  #takeOff(at: Place, waiting: readonly MetricRecord[]): Flight {
    const { evaluator, learner, config, signal } = this.#options;
    const copy = evaluator.isConcurrent ? copyOf(learner.save()) : undefined;
    const order = { episodeCount: this.#episodeCount, seed: config.seed + 100, outOfRange: true };
    const result = evaluator.evaluate(order, signal);
    const begun: Flight = { at, learner: () => copy ?? learner.save(), result, waiting: [...waiting], isOver: false };
    const end = () => {
      begun.isOver = true;
    };
    result.then(end, end);
    return begun;
  }

  #writeResult(at: Place, { inRange, outOfRange }: Evaluated): void {
    const { meanReturn, standardDeviation, lengths } = inRange;
    this.#outOfRangeReturn = outOfRange?.meanReturn;
    this.latestReturn = { of: 'evaluation', value: meanReturn };
    this.#write({
      ...at,
      evaluationReturn: meanReturn,
      evaluationStandardDeviation: standardDeviation,
      evaluationLength: lengths.reduce((sum, length) => sum + length, 0) / this.#episodeCount,
      ...(outOfRange && { outOfRangeReturn: outOfRange.meanReturn }),
    });
  }
}
