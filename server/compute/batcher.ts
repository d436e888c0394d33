/**
 * Jobs that wait for one heavy graph, joined into runs, or cut into several where one is large. Owns the queue, its bound and the
 * dropping of late jobs; who runs a batch, and when, is compute-pool.ts.
 *
 * Failure rule: a run that fails fails every job in it, and no other; what is left of those jobs is not computed.
 */

import { resourceExhausted } from '../../src/contract/errors.ts';
import { floatTensor, type Tensor, type TensorMap } from '../../src/onnx/session.ts';
import { copyTensors } from '../../src/onnx/shared-tensors.ts';
import { callCancelled, type Demand, deadlinePassed, standing } from '../call/rpc.ts';

/** When a job is too late to be useful. Requests that share the job may extend it, and see when its run began. */
export type Deadline = {
  /** On the clock of `Date.now()`. */
  atMs: number;
  /** When its run began, on the clock of `performance.now()`; set by who runs it. */
  startedAtMs?: number;
  /** Who waits for it: where all are gone, it is dropped. */
  askers?: Demand[];
};

export const deadlineFor = (demand: Demand): Deadline => ({ atMs: demand.deadlineMs, askers: [demand] });

/** Whether it is for no request. */
export const isStanding = ({ askers }: Deadline): boolean => askers?.every((asker) => asker === standing) ?? false;

const isUnwanted = ({ askers }: Deadline): boolean => askers?.every(({ isGone }) => isGone) ?? false;

/** Consecutive rows of a job. */
export type RowRange = { readonly from: number; readonly count: number };

/** Where the outputs of a job go. */
export type Sink = {
  /** Called when these rows are being computed: the sink may allocate memory for their outputs meanwhile. */
  begin?(rows: RowRange): void;
  /**
   * Given the outputs of these rows; each row once, in any order. They lie in memory that is used again after the call; what is thrown
   * fails the run.
   */
  take(outputs: TensorMap, rows: RowRange): void;
};

export type Job = {
  /** Every input of the graph, each with the same number of rows first where jobs share runs. */
  readonly feeds: TensorMap;
  readonly rowCount: number;
  readonly deadline: Deadline;
};

type QueuedJob = Job & {
  readonly sink: Sink;
  readonly queuedAtMs: number;
  /** The first row that no run has taken. */
  nextRow: number;
  /** Rows whose outputs are not there. */
  leftRowCount: number;
  hasFailed: boolean;
  resolve(): void;
  reject(error: unknown): void;
};

/** Rows of a job that were taken for one run. */
type Piece = RowRange & { readonly job: QueuedJob };

export type BatchQueueOptions = {
  /** Named in errors: the graph's file. */
  readonly name: string;
  /** Rows of a run that jobs share. */
  readonly batchRowCountMax: number;
  /** Most rows that one job may take in a run now; a larger job is split, and other jobs run between its pieces. */
  readonly pieceRowCountMax: () => number;
  /** Rows that may wait. */
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

  /** When the oldest job came; undefined where there is none. */
  get oldestAtMs(): number | undefined {
    return this.#jobs[0]?.queuedAtMs;
  }

  /** Whether there are rows for a whole run. */
  get isFull(): boolean {
    return this.#rowCount >= this.#options.batchRowCountMax;
  }

  /**
   * @param queuedAtMs kept with the job
   * @throws HyperpolicyError resource_exhausted where the queue is full
   */
  add(job: Job, sink: Sink, queuedAtMs: number): Promise<void> {
    const { name, queueRowCountMax } = this.#options;
    if (this.#rowCount + job.rowCount > queueRowCountMax) {
      const nowMs = Date.now();
      this.#jobs = this.#jobs.filter((waiting) => !this.#isDropped(waiting, nowMs));
    }
    const rowCount = this.#rowCount + job.rowCount;
    if (this.#rowCount > 0 && rowCount > queueRowCountMax) {
      throw resourceExhausted({
        where: `queue of ${name}`,
        expected: `at most ${queueRowCountMax} rows waiting`,
        actual: `${rowCount}`,
        remedy: 'Retry with backoff',
      });
    }
    this.#rowCount = rowCount;
    return new Promise((resolve, reject) => {
      const progress = { nextRow: 0, leftRowCount: job.rowCount, hasFailed: false };
      this.#jobs.push({ ...job, ...progress, sink, queuedAtMs, resolve, reject });
    });
  }

  /** The jobs that have waited longest and fit one run; late jobs are dropped. Undefined where none is left. */
  take(nowMs: number): Batch | undefined {
    const { batchRowCountMax, pieceRowCountMax } = this.#options;
    const pieceRowCount = pieceRowCountMax();
    const taken: Piece[] = [];
    /** Jobs that have more rows: others come before them. */
    const unfinished: QueuedJob[] = [];
    let takenRowCount = 0;
    let at = 0;
    for (; at < this.#jobs.length; at++) {
      const job = this.#jobs[at]!;
      if (this.#isDropped(job, nowMs)) continue;
      const waiting = job.rowCount - job.nextRow;
      // In pieces of equal size: a small last one would cost almost as much as a large one.
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

  /** Drops a job that is late, that nobody waits for, or that has failed. */
  #isDropped(job: QueuedJob, nowMs: number): boolean {
    const isLate = job.deadline.atMs < nowMs;
    if (!job.hasFailed && !isLate && !isUnwanted(job.deadline)) return false;
    this.#rowCount -= job.rowCount - job.nextRow;
    const { name } = this.#options;
    if (!job.hasFailed) fail(job, isLate ? expired(name, job, nowMs) : abandoned(name, job));
    return true;
  }
}

/** What was taken for one run. */
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

  /** Call when its run is under way. */
  begin(): void {
    for (const { job, from, count } of this.#pieces) job.sink.begin?.({ from, count });
  }

  /** Hands each job its rows of the outputs. */
  take(outputs: TensorMap): void {
    let at = 0;
    for (const { job, from, count } of this.#pieces) {
      const own = this.#pieces.length === 1 ? outputs : mapTensors(outputs, (all) => rowsOf(all, at, at + count));
      job.sink.take(own, { from, count });
      at += count;
    }
  }

  /** Call when all is taken: jobs that have all their rows are done. */
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

const mapTensors = (tensors: TensorMap, map: (tensor: Tensor, name: string) => Tensor): TensorMap =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, map(tensor, name)]));

/** A sink that keeps copies, as the outputs of one run of all the rows. */
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

/** Float32 tensors below each other. */
function joinRows(tensors: readonly Tensor[], rowCount: number): Tensor {
  const { rest, width } = rowSizes(tensors[0]!);
  const values = new Float32Array(rowCount * width);
  let at = 0;
  for (const { data } of tensors) {
    values.set(data as Float32Array, at);
    at += data.length;
  }
  return floatTensor(values, [rowCount, ...rest]);
}

/** Rows [from, to), without a copy. */
function rowsOf(tensor: Tensor, from: number, to: number): Tensor {
  const { rest, width } = rowSizes(tensor);
  return floatTensor((tensor.data as Float32Array).subarray(from * width, to * width), [to - from, ...rest]);
}

/** Sizes of a row of a tensor, and how many values it has. */
function rowSizes({ dims }: Tensor): { readonly rest: readonly number[]; readonly width: number } {
  const rest = dims.slice(1);
  return { rest, width: rest.reduce((product, size) => product * size, 1) };
}
