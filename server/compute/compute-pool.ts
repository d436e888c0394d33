/**
 * Where heavy graphs run: primaries, plain critics, encoders and inner steps. Each graph has a queue; whenever the executor can take a run it gets a batch of
 * the most urgent graph that has one. What waits while a run is under way goes into the next one together; a job with many rows takes
 * several runs. Small dynamic networks and policies do not come here: they run where the request is.
 */

import type { TensorMap } from '../../src/onnx/session.ts';
import type { OpenOptions } from '../../src/onnx/worker-pool.ts';
import type { ListedFile } from '../../src/package/listed-file.ts';
import { type Batch, type BatchQueue, collectOutputs, createBatchQueue, type Job, type Sink } from './batcher.ts';

/** The first of `urgency` runs first. */
export type Priority = 'act' | 'adapt' | 'q-grad';

/** A heavy graph that is ready to run. */
export type HeavyGraph = {
  /** Input and output names of the loaded graph. */
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Queues a job.
   * @returns its outputs, the caller's own
   * @throws HyperpolicyError resource_exhausted: the queue is full; deadline_exceeded: the job became late while it waited
   */
  run(job: Job): Promise<TensorMap>;
  /** The same, where the caller takes the outputs from where they are. */
  runInto(job: Job, sink: Sink): Promise<void>;
  /** Call when no run is in flight. */
  dispose(): void;
};

export type OpenGraphOptions = {
  readonly name: string;
  readonly priority: Priority;
  /** Whether jobs may share a run, as rows below each other; they may unless told otherwise. */
  readonly joins?: boolean;
  /** As of WorkerPool.open. */
  readonly restRatio?: number;
};

/** Runs loaded graphs. */
export type Executor = {
  /** Runs that would begin at once. */
  readonly idleCount: number;
  /**
   * Loads a graph and runs it once with each number of rows, wherever it will run.
   * @throws HyperpolicyError as WorkerPool.open
   */
  open(model: ListedFile, options: Required<OpenOptions>): Promise<ExecutorGraph>;
};

export type ExecutorGraph = Omit<HeavyGraph, 'run' | 'runInto'> & {
  /** Whether a run of this graph may be handed over now, to begin right behind another that is under way. */
  readonly canFollow: boolean;
  /**
   * @param take given the outputs, in memory that is used again when it returns
   * @param freed told, before that, that another run can begin; not where the run is on the calling thread
   * @throws what the run or `take` throws
   */
  run(
    feeds: TensorMap,
    taking: { readonly take: (outputs: TensorMap) => void; readonly freed: () => void },
  ): void | Promise<void>;
};

export type ComputePool = {
  /**
   * Loads a graph and warms it up: wherever it will run, it has run one row and as many as share a run.
   * @throws HyperpolicyError as the executor
   */
  open(model: ListedFile, options: OpenGraphOptions): Promise<HeavyGraph>;
  /** Rows that wait, over all graphs. */
  readonly queueRowCount: number;
};

export type ComputePoolOptions = {
  readonly executor: Executor;
  readonly batchRowCountMax: number;
  readonly queueRowCountMax: number;
  /** How long a job waits for others where a thread is free and its run is not full; 0, unless given, is not at all. */
  readonly batchDelayMs?: number;
  /** Milliseconds, not going backwards, and a timer on the same clock; the process's unless a test has its own. */
  readonly clock?: () => number;
  readonly later?: (delayMs: number, dispatch: () => void) => void;
  /** Runs a dispatch soon, so that jobs of one turn are one batch; `setImmediate` unless a test dispatches by hand. */
  readonly schedule?: (dispatch: () => void) => void;
  /** Told of each run. */
  readonly onRun?: (run: { readonly name: string; readonly rowCount: number; readonly seconds: number }) => void;
  /** Told how long each job waited. */
  readonly onWait?: (name: string, seconds: number) => void;
};

type Entry = {
  readonly queue: BatchQueue;
  readonly graph: ExecutorGraph;
  readonly name: string;
  readonly priority: Priority;
  readonly joins: boolean;
  /** Of the last run that was full. */
  msPerRow: number | undefined;
  /** When its last run ended. */
  freedAtMs: number;
};

type Chosen = { readonly entry: Entry; readonly batch: Batch };

/** Of the warm-up: a setting of thousands of rows a run is for those who fill them, and would keep a load for seconds. */
const warmRowCountMax = 64;

const urgency: readonly Priority[] = ['act', 'adapt', 'q-grad'];

/**
 * How long a run may be that a job has for itself, going by the last run: others wait so long. A cut costs about as much as four rows, so no
 * run is cut below so many times the rows that jobs share.
 */
const pieceMsMax = 100;
const pieceBatchCount = 4;

export function createComputePool(options: ComputePoolOptions): ComputePool {
  const { executor, batchRowCountMax, queueRowCountMax, batchDelayMs = 0, onRun, onWait } = options;
  const clock = options.clock ?? (() => performance.now());
  const later = options.later ?? ((delayMs, action) => void setTimeout(action, delayMs));
  const schedule = options.schedule ?? ((dispatch) => void setImmediate(dispatch));
  const entries = new Set<Entry>();
  let scheduled = false;
  /** A timer is set for jobs that wait for others. */
  let waiting = false;

  /** When a queue's jobs need wait for others no longer. */
  const dueAtMs = ({ oldestAtMs = 0, isFull }: BatchQueue): number => (isFull ? 0 : oldestAtMs + batchDelayMs);

  /**
   * What an idle thread runs next. Of graphs that are equally urgent the one that was served longest ago comes first: a Set keeps
   * that order.
   */
  function nextBatch(): Chosen | undefined {
    for (const priority of urgency) {
      for (const entry of entries) {
        if (entry.priority !== priority || entry.queue.rowCount === 0) continue;
        if (batchDelayMs > 0 && dueAtMs(entry.queue) > clock()) continue;
        const batch = takeFrom(entry);
        if (batch !== undefined) return batch;
      }
    }
    return undefined;
  }

  /**
   * What a thread that is busy runs next, handed over beforehand: its run need not wait until this thread has time. Only full runs,
   * which gain nothing by waiting for more rows, and only the most urgent, which nothing that comes could go before.
   */
  function followingBatch(): Chosen | undefined {
    for (const entry of entries) {
      if (entry.priority !== urgency[0] || !entry.queue.isFull || !entry.graph.canFollow) continue;
      const batch = takeFrom(entry);
      if (batch !== undefined) return batch;
    }
    return undefined;
  }

  function takeFrom(entry: Entry): Chosen | undefined {
    const batch = entry.queue.take(Date.now());
    if (batch === undefined) return undefined;
    entries.delete(entry);
    entries.add(entry);
    return { entry, batch };
  }

  function pieceRowCount({ joins, msPerRow = Number.POSITIVE_INFINITY }: Entry): number {
    return joins
      ? Math.max(pieceBatchCount * batchRowCountMax, Math.floor(pieceMsMax / msPerRow))
      : Number.POSITIVE_INFINITY;
  }

  /** Comes back when the first of the jobs that wait for others has waited long enough. */
  function waitForOthers(): void {
    if (batchDelayMs === 0 || waiting) return;
    const dueMs = [...entries].flatMap(({ queue }) => (queue.rowCount === 0 ? [] : [dueAtMs(queue)]));
    if (dueMs.length === 0) return;
    waiting = true;
    later(Math.max(0, Math.min(...dueMs) - clock()), () => {
      waiting = false;
      dispatch();
    });
  }

  function dispatch(): void {
    scheduled = false;
    for (;;) {
      const isIdle = executor.idleCount > 0;
      const next = isIdle ? nextBatch() : followingBatch();
      if (next === undefined) {
        if (isIdle) waitForOthers();
        return;
      }
      start(next, !isIdle);
    }
  }

  function noteStart({ entry, batch }: Chosen, startMs: number): void {
    for (const { deadline, queuedAtMs } of batch.jobs) {
      if (deadline.startedAtMs !== undefined) continue;
      deadline.startedAtMs = startMs;
      onWait?.(entry.name, (startMs - queuedAtMs) / 1000);
    }
  }

  /** @param isFollowing it begins when the run of its graph before it ends */
  function start(chosen: Chosen, isFollowing: boolean): void {
    const { entry, batch } = chosen;
    const handedMs = clock();
    if (!isFollowing) noteStart(chosen, handedMs);
    const noteEnd = () => {
      const startMs = isFollowing ? Math.max(handedMs, entry.freedAtMs) : handedMs;
      if (isFollowing) noteStart(chosen, startMs);
      entry.freedAtMs = clock();
      const ms = entry.freedAtMs - startMs;
      if (batch.rowCount >= batchRowCountMax) entry.msPerRow = ms / batch.rowCount;
      onRun?.({ name: entry.name, rowCount: batch.rowCount, seconds: ms / 1000 });
    };
    const freed = () => {
      noteEnd();
      dispatch();
    };
    try {
      const run = entry.graph.run(batch.feeds, { take: batch.take, freed });
      if (run === undefined) {
        noteEnd();
        batch.finish();
        return;
      }
      // With its outputs taken there may be room behind the run that began in the meantime.
      run.then(batch.finish, batch.reject).finally(dispatch);
      batch.begin();
    } catch (error) {
      batch.reject(error);
    }
  }

  return {
    async open(model, { name, priority, joins = true, restRatio = 0 }) {
      const warmUpRowCounts = [1, Math.min(batchRowCountMax, warmRowCountMax)];
      const graph = await executor.open(model, { name, warmUpRowCounts, restRatio });
      const entry: Entry = {
        queue: createBatchQueue({
          name,
          batchRowCountMax: joins ? batchRowCountMax : 1,
          pieceRowCountMax: () => pieceRowCount(entry),
          queueRowCountMax,
        }),
        joins,
        msPerRow: undefined,
        freedAtMs: 0,
        graph,
        name,
        priority,
      };
      entries.add(entry);
      const runInto = (job: Job, sink: Sink): Promise<void> => {
        const done = entry.queue.add(job, sink, clock());
        if (!scheduled) {
          scheduled = true;
          schedule(dispatch);
        }
        return done;
      };
      return {
        inputNames: graph.inputNames,
        outputNames: graph.outputNames,
        runInto,
        run(job) {
          const sink = collectOutputs(job.rowCount);
          return runInto(job, sink).then(() => sink.outputs);
        },
        dispose() {
          entries.delete(entry);
          graph.dispose();
        },
      };
    },
    get queueRowCount() {
      let sum = 0;
      for (const { queue } of entries) sum += queue.rowCount;
      return sum;
    },
  };
}
