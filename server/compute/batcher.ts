/**
 * The queue of one heavy graph. Jobs share runs; a large job is split over several. Owns the bound of the queue and drops late jobs.
 * When and where a batch runs: compute-pool.ts.
 *
 * Failure rule: a failed run fails every job in it and no other. The rest of those jobs is not computed.
 */

import { resourceExhausted } from '../../src/contract/errors.ts';
import { joinRows, mapTensors, rowsOf } from '../../src/onnx/row-tensors.ts';
import { floatTensor, type TensorMap } from '../../src/onnx/session.ts';
import { copyTensors } from '../../src/onnx/shared-tensors.ts';
import { callCancelled, type Demand, deadlinePassed, standing } from '../call/rpc.ts';

/** Until when a job is wanted. Requests that share the job may extend it, and see when its run began. */
export type Deadline = {
  /** On the clock of `Date.now()`. */
  atMs: number;
  /** When its run began, on the clock of `performance.now()`; set by the compute pool. */
  startedAtMs?: number;
  /** The demands of the requests that wait for it; the job is dropped when all are gone. */
  waiters?: Demand[];
};

export const deadlineFor = (demand: Demand): Deadline => ({ atMs: demand.deadlineMs, waiters: [demand] });

/** Whether it is for no request. */
export const isStanding = ({ waiters }: Deadline): boolean => waiters?.every((waiter) => waiter === standing) ?? false;

const isUnwanted = ({ waiters }: Deadline): boolean => waiters?.every(({ isGone }) => isGone) ?? false;

/** Consecutive rows of a job. */
export type RowRange = { readonly from: number; readonly count: number };

/** Receives the outputs of a job. */
export type Sink = {
  /** Called while these rows are computed, so that the sink can allocate memory for their outputs meanwhile. */
  begin?(rows: RowRange): void;
  /**
   * Called once for each row, in any order. The outputs are in memory that is reused after the call, so they must be copied. An error
   * thrown here fails the run.
   */
  take(outputs: TensorMap, rows: RowRange): void;
};

export type Job = {
  /** Every input of the graph. If jobs share runs, each begins with the dimension of rows. */
  readonly feeds: TensorMap;
  readonly rowCount: number;
  readonly deadline: Deadline;
};

type QueuedJob = Job & {
  readonly sink: Sink;
  readonly queuedAtMs: number;
  /** The first row that is not yet in a run. */
  nextRow: number;
  /** Rows whose outputs are missing. */
  leftRowCount: number;
  hasFailed: boolean;
  resolve(): void;
  reject(error: unknown): void;
};

/** Rows of a job in one run. */
type Piece = RowRange & { readonly job: QueuedJob };

export type BatchQueueOptions = {
  /** Named in errors: the graph's file. */
  readonly name: string;
  /** Most rows of a run that several jobs share. */
  readonly batchRowCountMax: number;
  /** Most rows that one job may take in a run now; a larger job is split, and other jobs run between its pieces. */
  readonly pieceRowCountMax: () => number;
  readonly queueRowCountMax: number;
};

export class BatchQueue {
  readonly #options: BatchQueueOptions;
  #jobs: QueuedJob[] = [];
  #rowCount = 0;

  constructor(options: BatchQueueOptions) {
    this.#options = options;
  }

  get rowCount(): number {
    return this.#rowCount;
  }

  /** When the oldest job was added; undefined if the queue is empty. */
  get oldestAtMs(): number | undefined {
    return this.#jobs[0]?.queuedAtMs;
  }

  /** There are enough rows for a full run. */
  get isFull(): boolean {
    return this.#rowCount >= this.#options.batchRowCountMax;
  }

  /** @returns rejects with HyperpolicyError resource_exhausted if the queue is full; nothing is thrown before */
  add(job: Job, sink: Sink, queuedAtMs: number): Promise<void> {
    const { name, queueRowCountMax } = this.#options;
    if (this.#rowCount + job.rowCount > queueRowCountMax) {
      const nowMs = Date.now();
      this.#jobs = this.#jobs.filter((waiting) => !this.#isDropped(waiting, nowMs));
    }
    const rowCount = this.#rowCount + job.rowCount;
    if (this.#rowCount > 0 && rowCount > queueRowCountMax) {
      const expected = `at most ${queueRowCountMax} rows waiting`;
      const fields = { where: `queue of ${name}`, expected, actual: `${rowCount}`, remedy: 'Retry with backoff' };
      return Promise.reject(resourceExhausted(fields));
    }
    this.#rowCount = rowCount;
    return new Promise((resolve, reject) => {
      const progress = { nextRow: 0, leftRowCount: job.rowCount, hasFailed: false };
      this.#jobs.push({ ...job, ...progress, sink, queuedAtMs, resolve, reject });
    });
  }

  /** The oldest jobs that fit one run; late jobs are dropped. Undefined if none is left. */
  take(nowMs: number): Batch | undefined {
    const { batchRowCountMax, pieceRowCountMax } = this.#options;
    const pieceRowCount = pieceRowCountMax();
    const taken: Piece[] = [];
    /** Jobs with more rows go behind the others. */
    const unfinished: QueuedJob[] = [];
    let takenRowCount = 0;
    let at = 0;
    for (; at < this.#jobs.length; at++) {
      const job = this.#jobs[at]!;
      if (this.#isDropped(job, nowMs)) continue;
      const waiting = job.rowCount - job.nextRow;
      // Pieces of equal size: a small last piece would cost almost as much as a large one.
      const count = Math.ceil(waiting / Math.max(1, Math.ceil(waiting / pieceRowCount)));
      if (taken.length > 0 && takenRowCount + count > batchRowCountMax) break;
      taken.push({ job, from: job.nextRow, count });
      job.nextRow += count;
      takenRowCount += count;
      if (job.nextRow < job.rowCount) unfinished.push(job);
    }
    this.#jobs = [...this.#jobs.slice(at), ...unfinished];
    this.#rowCount -= takenRowCount;
    return taken.length === 0 ? undefined : new Batch(taken, takenRowCount);
  }

  /** Drops a job that is late, unwanted or failed. @returns whether it did */
  #isDropped(job: QueuedJob, nowMs: number): boolean {
    const isLate = job.deadline.atMs < nowMs;
    if (!job.hasFailed && !isLate && !isUnwanted(job.deadline)) return false;
    this.#rowCount -= job.rowCount - job.nextRow;
    const { name } = this.#options;
    if (!job.hasFailed) fail(job, isLate ? expired(name, job, nowMs) : abandoned(name, job));
    return true;
  }
}

/** The rows of one run. */
export class Batch {
  readonly feeds: TensorMap;
  readonly rowCount: number;
  readonly #pieces: readonly Piece[];

  constructor(pieces: readonly Piece[], rowCount: number) {
    const { job, count } = pieces[0]!;
    const isWhole = pieces.length === 1 && count === job.rowCount;
    this.feeds = isWhole ? job.feeds : joinFeeds(pieces, rowCount);
    this.rowCount = rowCount;
    this.#pieces = pieces;
  }

  get jobs(): readonly Pick<QueuedJob, 'deadline' | 'queuedAtMs'>[] {
    return this.#pieces.map(({ job }) => job);
  }

  /** Call when its run has started. */
  begin(): void {
    for (const { job, from, count } of this.#pieces) job.sink.begin?.({ from, count });
  }

  /** Gives each job its rows of the outputs. */
  take(outputs: TensorMap): void {
    let at = 0;
    for (const { job, from, count } of this.#pieces) {
      const own = this.#pieces.length === 1 ? outputs : mapTensors(outputs, (all) => rowsOf(all, at, at + count));
      job.sink.take(own, { from, count });
      at += count;
    }
  }

  /** Call after `take`: resolves the jobs that have all their rows. */
  finish(): void {
    for (const { job, count } of this.#pieces) {
      job.leftRowCount -= count;
      if (job.leftRowCount === 0) job.resolve();
    }
  }

  reject(error: unknown): void {
    for (const { job } of this.#pieces) fail(job, error);
  }
}

function fail(job: QueuedJob, error: unknown): void {
  job.hasFailed = true;
  job.reject(error);
}

const expired = (name: string, job: QueuedJob, nowMs: number) =>
  deadlinePassed(`queue of ${name}`, nowMs - job.deadline.atMs, begunRows(job));

const abandoned = (name: string, job: QueuedJob) => callCancelled(`queue of ${name}`, begunRows(job));

const begunRows = ({ nextRow, rowCount }: Pick<QueuedJob, 'nextRow' | 'rowCount'>): string =>
  nextRow === 0 ? 'Nothing was computed' : `${nextRow} of ${rowCount} rows were begun, and nothing is kept`;

const joinFeeds = (pieces: readonly Piece[], rowCount: number): TensorMap =>
  mapTensors(pieces[0]!.job.feeds, (_, name) =>
    joinRows(
      pieces.map(({ job, from, count }) => rowsOf(job.feeds[name]!, from, from + count)),
      rowCount,
    ),
  );

/** A sink that copies the outputs, as if one run had computed all the rows. */
export function collectOutputs(rowCount: number): Sink & { readonly outputs: TensorMap } {
  let outputs: TensorMap = {};
  return {
    get outputs() {
      return outputs;
    },
    take(part, { from, count }) {
      if (count === rowCount) {
        outputs = copyTensors(part);
        return;
      }
      for (const [name, { data, dims }] of Object.entries(part)) {
        const values = data as Float32Array;
        const width = values.length / count;
        outputs[name] ??= floatTensor(new Float32Array(rowCount * width), [rowCount, ...dims.slice(1)]);
        (outputs[name].data as Float32Array).set(values, from * width);
      }
    },
  };
}
