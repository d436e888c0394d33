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
  latestReturn: number | undefined;
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

export function createEvaluationsInFlight(
  options: RunContext & {
    readonly evaluator: Evaluator;
    readonly learner: OffPolicyLearner;
    readonly config: OffPolicyConfig;
  },
  {
    title,
    write,
    saved,
  }: {
    readonly title: string;
    readonly write: (record: MetricRecord) => void;
    readonly saved: EvaluationsState | undefined;
  },
): EvaluationsInFlight {
  const { evaluator, learner, config, signal } = options;
  const { evaluationEpisodeCount: episodeCount, seed, warmUpStepCount } = config;
  const evaluations = createEvaluations(options, { title, warmUpStepCount, before: saved?.list ?? [] });
  let outOfRangeReturn = saved?.outOfRangeReturn ?? undefined;
  let flight: Flight | undefined;

  function takeOff(at: Place, waiting: readonly MetricRecord[]): Flight {
    const { isConcurrent } = evaluator;
    const copy = isConcurrent ? copyOf(learner.save()) : undefined;
    const result = evaluator.evaluate({ episodeCount, seed: seed + 100, outOfRange: true }, signal);
    const begun: Flight = { at, learner: () => copy ?? learner.save(), result, waiting: [...waiting], isOver: false };
    const end = () => {
      begun.isOver = true;
    };
    result.then(end, end);
    return begun;
  }

  async function settle(): Promise<void> {
    if (flight === undefined) return;
    const { at, learner: learnerThen, result, waiting } = flight;
    const { inRange, outOfRange } = await result;
    flight = undefined;
    const { meanReturn, standardDeviation, returns, lengths } = inRange;
    outOfRangeReturn = outOfRange?.meanReturn;
    own.latestReturn = meanReturn;
    write({
      ...at,
      evaluationReturn: meanReturn,
      evaluationStandardDeviation: standardDeviation,
      evaluationLength: lengths.reduce((sum, length) => sum + length, 0) / episodeCount,
      ...(outOfRange && { outOfRangeReturn: outOfRange.meanReturn }),
    });
    for (const record of waiting) write(record);
    await evaluations.add({ step: at.step, meanReturn, standardDeviation, episodeCount }, returns, learnerThen);
  }

  async function begin(at: Place, waiting: readonly MetricRecord[] = []): Promise<void> {
    await settle();
    flight = takeOff(at, waiting);
    if (!evaluator.isConcurrent) await settle();
  }

  const own: EvaluationsInFlight = {
    list: evaluations.list,
    best: evaluations.best,
    noteCheckpoint: evaluations.noteCheckpoint,
    finish: evaluations.finish,
    latestReturn: evaluations.list.at(-1)?.meanReturn,
    get latestStep() {
      return (flight?.at ?? evaluations.list.at(-1))?.step;
    },
    get isOver() {
      return flight?.isOver === true;
    },
    get outOfRangeReturn() {
      return outOfRangeReturn;
    },
    record(record) {
      if (flight === undefined) write(record);
      else flight.waiting.push(record);
    },
    begin: (step, seconds) => begin({ step, seconds }),
    settle,
    save(step) {
      const isOfHere = flight === undefined || flight.at.step === step;
      const { arrays, state: learnerState } = isOfHere ? { arrays: {}, state: null } : flight!.learner();
      const running = isOfHere ? null : { at: flight!.at, waiting: flight!.waiting, learner: learnerState };
      const state = { list: evaluations.list, outOfRangeReturn: outOfRangeReturn ?? null, running };
      return { arrays, state: state satisfies EvaluationsState };
    },
    async restore({ arrays, state }) {
      const { running } = state as EvaluationsState;
      if (running === null) return;
      learner.restore({ arrays, state: running.learner });
      await begin(running.at, running.waiting);
    },
  };
  return own;
}
