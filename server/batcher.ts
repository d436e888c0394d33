/**
 * Jobs that wait for one heavy graph, joined into runs. Owns the queue, its bound and the dropping of late jobs; who runs a
 * batch, and when, is compute-pool.ts.
 *
 * Failure rule: a run that fails fails every job in it, and no other.
 */

import { Tensor, type TensorMap } from '../src/onnx/session.ts';
import { deadlineExceeded, resourceExhausted } from '../src/spec/errors.ts';

/** When a job is of no more use. Whoever shares the job may put it off, and sees when it began. */
export type Deadline = {
  /** On the clock of `Date.now()`. */
  atMs: number;
  /** When its run began, on the clock of `performance.now()`; set by who runs it. */
  startedAtMs?: number;
};

export type Job = {
  /** Every input of the graph, each with the same number of rows first where jobs share runs. */
  readonly feeds: TensorMap;
  readonly rowCount: number;
  readonly deadline: Deadline;
};

type QueuedJob = Job & {
  readonly queuedAtMs: number;
  resolve(outputs: TensorMap): void;
  reject(error: unknown): void;
};

/** Jobs that were taken for one run. */
export type Batch = {
  readonly feeds: TensorMap;
  readonly rowCount: number;
  readonly jobs: readonly Pick<QueuedJob, 'deadline' | 'queuedAtMs'>[];
  /** Hands each job its rows of the outputs. */
  resolve(outputs: TensorMap): void;
  reject(error: unknown): void;
};

export type BatchQueue = {
  /**
   * @param queuedAtMs kept with the job
   * @throws HyperpolicyError resource_exhausted where the queue is full
   */
  add(job: Job, queuedAtMs: number): Promise<TensorMap>;
  /** The oldest jobs that fit one run, late ones dropped; undefined where none is left. */
  take(nowMs: number): Batch | undefined;
  readonly rowCount: number;
  /** When the oldest job came; undefined where there is none. */
  readonly oldestAtMs: number | undefined;
  /** Whether there are rows for a whole run. */
  readonly isFull: boolean;
};

export type BatchQueueOptions = {
  /** Named in errors: the graph's file. */
  readonly name: string;
  /** Rows of one run; a job that is larger runs alone. */
  readonly batchRowCountMax: number;
  /** Rows that may wait. */
  readonly queueRowCountMax: number;
};

export function createBatchQueue({ name, batchRowCountMax, queueRowCountMax }: BatchQueueOptions): BatchQueue {
  let jobs: QueuedJob[] = [];
  let rowCount = 0;

  return {
    add(job, queuedAtMs) {
      if (rowCount > 0 && rowCount + job.rowCount > queueRowCountMax) {
        throw resourceExhausted({
          where: `queue of ${name}`,
          expected: `at most ${queueRowCountMax} rows waiting`,
          actual: `${rowCount + job.rowCount}`,
          remedy: 'Retry with backoff',
        });
      }
      rowCount += job.rowCount;
      return new Promise((resolve, reject) => {
        jobs.push({ ...job, queuedAtMs, resolve, reject });
      });
    },
    take(nowMs) {
      const taken: QueuedJob[] = [];
      let takenRowCount = 0;
      let at = 0;
      for (; at < jobs.length; at++) {
        const job = jobs[at]!;
        if (job.deadline.atMs < nowMs) {
          rowCount -= job.rowCount;
          job.reject(expired(name, nowMs - job.deadline.atMs));
          continue;
        }
        if (taken.length > 0 && takenRowCount + job.rowCount > batchRowCountMax) break;
        taken.push(job);
        takenRowCount += job.rowCount;
      }
      jobs = jobs.slice(at);
      rowCount -= takenRowCount;
      return taken.length === 0 ? undefined : joinJobs(taken, takenRowCount);
    },
    get rowCount() {
      return rowCount;
    },
    get oldestAtMs() {
      return jobs[0]?.queuedAtMs;
    },
    get isFull() {
      return rowCount >= batchRowCountMax;
    },
  };
}

const expired = (name: string, lateMs: number) =>
  deadlineExceeded({
    where: `queue of ${name}`,
    expected: 'a deadline that has not passed',
    actual: `one that passed ${lateMs} ms ago`,
    remedy: 'Nothing was computed',
  });

function joinJobs(jobs: readonly QueuedJob[], rowCount: number): Batch {
  const reject = (error: unknown) => {
    for (const job of jobs) job.reject(error);
  };
  if (jobs.length === 1) return { jobs, feeds: jobs[0]!.feeds, rowCount, resolve: jobs[0]!.resolve, reject };
  const feeds = Object.fromEntries(
    Object.keys(jobs[0]!.feeds).map((name) => [
      name,
      joinRows(
        jobs.map((job) => job.feeds[name]!),
        rowCount,
      ),
    ]),
  );
  const resolve = (outputs: TensorMap) => {
    let from = 0;
    for (const job of jobs) {
      const to = from + job.rowCount;
      job.resolve(Object.fromEntries(Object.entries(outputs).map(([name, all]) => [name, rowsOf(all, from, to)])));
      from = to;
    }
  };
  return { jobs, feeds, rowCount, resolve, reject };
}

/** Float32 tensors below each other. */
function joinRows(tensors: readonly Tensor[], rowCount: number): Tensor {
  const rest = tensors[0]!.dims.slice(1);
  const width = rest.reduce((product, size) => product * size, 1);
  const values = new Float32Array(rowCount * width);
  let at = 0;
  for (const { data } of tensors) {
    values.set(data as Float32Array, at);
    at += data.length;
  }
  return new Tensor('float32', values, [rowCount, ...rest]);
}

/** Rows [from, to), without a copy. */
function rowsOf({ data, dims }: Tensor, from: number, to: number): Tensor {
  const rest = dims.slice(1);
  const width = rest.reduce((product, size) => product * size, 1);
  return new Tensor('float32', (data as Float32Array).subarray(from * width, to * width), [to - from, ...rest]);
}
