/**
 * Runs heavy graphs: primaries, plain critics, large batches of plain policies, encoders and inner steps. Each graph has a queue. When a
 * thread is free, it gets a batch of the most urgent graph that has jobs. Jobs that wait during a run share the next one. A job with
 * many rows takes several runs. Small networks do not come here: they run on the event loop.
 */

import { type Joining, type Part, partsOf } from '../../src/onnx/joined.ts';
import type { Device } from '../../src/onnx/providers.ts';
import type { Session, TensorMap } from '../../src/onnx/session.ts';
import type { OpenOptions } from '../../src/onnx/worker-pool.ts';
import type { ListedFile } from '../../src/package/listed-file.ts';
import { type Batch, BatchQueue, collectOutputs, isStanding, type Job, type Sink } from './batcher.ts';

/** The order is that of `urgency`. */
export type Priority = 'act' | 'adapt' | 'q-grad';

/** A loaded heavy graph. */
export type HeavyGraph = Pick<Session, 'inputs' | 'outputs'> & {
  /**
   * Queues a job.
   * @returns a copy of its outputs; all errors come with it, none before
   * @throws HyperpolicyError resource_exhausted: the queue is full; deadline_exceeded: the job was late before it ran
   */
  run(job: Job): Promise<TensorMap>;
  /** The same without a copy: the sink gets the outputs in place. */
  runInto(job: Job, sink: Sink): Promise<void>;
  /** Call when no run is in flight. */
  dispose(): void;
};

/** A heavy graph, and the same with a second graph behind it, whose outputs alone it gives: over the same weights, with a queue of its own. */
export type OpenedGraph = HeavyGraph & {
  readonly both?: Omit<HeavyGraph, 'dispose'> | undefined;
  /** Both after an ascent: `climb` of partsOf. Each job has a run of its own, as long as its steps take. */
  readonly climb?: Omit<HeavyGraph, 'dispose'> | undefined;
  /** Why the second graph that was given is not behind it, or is another one than the first that was given. */
  readonly notJoined?: string | undefined;
};

export type OpenGraphOptions = {
  readonly name: string;
  readonly priority: Priority;
  /** Labels of its version in metrics. */
  readonly labels?: Readonly<Record<string, string | number>>;
  /** Whether jobs may share a run, concatenated along the rows; true unless given. */
  readonly joins?: boolean;
  /** As in WorkerPool.open. */
  readonly restRatio?: number;
  /** The CPU unless given. */
  readonly device?: Device;
  /** Graphs of which the first that can be is joined behind this one. */
  readonly second?: SecondGraph | undefined;
  /** As of WorkerPool.open. */
  readonly onLost?: OpenOptions['onLost'];
  readonly onSlow?: OpenOptions['onSlow'];
};

type SecondGraph = {
  /** Of runs of both in metrics, and of those after an ascent. */
  readonly names: { readonly both: string; readonly climb: string };
  readonly joinings: readonly Joining[];
};

/** Runs loaded graphs. */
export type Executor = {
  /** Runs that could begin now. */
  readonly idleCount: number;
  /**
   * Loads a graph on every thread, and runs it there once with each of `warmUpRowCounts`.
   * @throws HyperpolicyError as WorkerPool.open
   */
  open(model: ListedFile, options: ExecutorOpenOptions): Promise<ExecutorGraph>;
};

/** `onLost` and `onSlow` are told only where runs are watched. */
type ExecutorOpenOptions = Required<Omit<OpenOptions, Optional>> & Pick<OpenOptions, Optional>;
type Optional = 'onLost' | 'onSlow' | 'second';

type ExecutorGraph = Pick<Session, 'inputs' | 'outputs'> & {
  readonly device?: string;
  /** A run of this graph can be handed to a busy thread now, to begin right after the run before it. */
  readonly canFollow: boolean;
  /**
   * @param take called with the outputs, in memory that is reused when it returns
   * @param freed called before `take` when another run can begin
   * @param outputs names of those that are wanted; all unless given
   * @throws whatever the run or `take` throws
   */
  run(
    feeds: TensorMap,
    taking: {
      readonly take: (outputs: TensorMap) => void;
      readonly freed: () => void;
      readonly outputs?: readonly string[] | undefined;
    },
  ): Promise<void>;
  dispose(): unknown;
};

export type ComputePoolOptions = {
  readonly executor: Executor;
  readonly batchRowCountMax: number;
  readonly queueRowCountMax: number;
  /** How long a job waits for others to share its run, while a thread is free and the run is not full. 0, the default: not at all. */
  readonly batchDelayMs?: number;
  /** Monotonic milliseconds, and a timer on the same clock; tests have their own. */
  readonly clock?: () => number;
  readonly later?: (delayMs: number, dispatch: () => void) => void;
  /** Runs a dispatch after this turn, so that jobs of one turn share a batch; `setImmediate` unless a test dispatches by hand. */
  readonly schedule?: (dispatch: () => void) => void;
  readonly onOpen?: (opened: { readonly graph: string; readonly device: string | undefined }) => void;
  readonly onRun?: (run: { readonly graph: GraphNames; readonly rowCount: number; readonly seconds: number }) => void;
  /** Called for each job of a request with the time that it waited; probes and first runs are not requests. */
  readonly onWait?: (graph: GraphNames, seconds: number) => void;
};

/** Of an open graph, the same object each time. */
type GraphNames = Required<Pick<OpenGraphOptions, 'name' | 'labels'>>;

type Entry = GraphNames & {
  readonly queue: BatchQueue;
  readonly graph: ExecutorGraph;
  /** Feeds of every run beside those of its jobs. */
  readonly feeds: TensorMap;
  /** Those that its runs are for; all if undefined. */
  readonly outputs: readonly string[] | undefined;
  readonly priority: Priority;
  readonly joins: boolean;
  /** Measured at the last full run. */
  msPerRow: number | undefined;
  /** When the last run of its session ended: shared by the entries of a session. */
  readonly lastRun: { freedAtMs: number };
};

type Chosen = { readonly entry: Entry; readonly batch: Batch };

/** Most rows of a warm-up run: with thousands of rows, which the settings allow, it would take seconds. */
const warmRowCountMax = 64;

const urgency: readonly Priority[] = ['act', 'adapt', 'q-grad'];

/** Longest time that one job may occupy a thread, estimated from the last full run of its graph: other jobs wait that long. */
const pieceMsMax = 100;
/** A piece of a large job has at least this many times the rows of a shared run: each split costs as much as about four rows. */
const pieceBatchCount = 4;

const defaults: Required<Pick<ComputePoolOptions, 'batchDelayMs' | 'clock' | 'later' | 'schedule'>> = {
  batchDelayMs: 0,
  clock: () => performance.now(),
  later: (delayMs, dispatch) => void setTimeout(dispatch, delayMs),
  schedule: (dispatch) => void setImmediate(dispatch),
};

export class ComputePool {
  readonly #options: ComputePoolOptions & typeof defaults;
  /** In the order of the last run, the oldest first: that is the order of equally urgent graphs. */
  readonly #entries = new Set<Entry>();
  #isScheduled = false;
  /** A timer is set for jobs that wait for others. */
  #isWaiting = false;

  constructor(options: ComputePoolOptions) {
    this.#options = { ...defaults, ...options };
  }

  /** Waiting rows of each graph. */
  get queues(): readonly (GraphNames & { readonly rowCount: number })[] {
    return [...this.#entries].map(({ name, labels, queue: { rowCount } }) => ({ name, labels, rowCount }));
  }

  /**
   * Loads a graph and warms it up on every thread, with one row and with a full run.
   * @throws HyperpolicyError as the executor
   */
  async open(
    model: ListedFile,
    { name, labels = {}, priority, joins = true, restRatio = 0, device = 'cpu', second, ...told }: OpenGraphOptions,
  ): Promise<OpenedGraph> {
    const { executor, batchRowCountMax, onOpen } = this.#options;
    const warmUpRowCounts = [1, Math.min(batchRowCountMax, warmRowCountMax)];
    const opening = { name, warmUpRowCounts, restRatio, device, ...told };
    const { graph, joining, reason } = await openJoined(executor, model, opening, second?.joinings ?? []);
    onOpen?.({ graph: name, device: graph.device });
    const parts = joining && partsOf(graph, joining);
    const entries: Entry[] = [];
    const lastRun = { freedAtMs: 0 };
    const enter = (
      part: string,
      { inputs, outputs, feeds }: Partial<Part>,
      shares: boolean,
    ): Omit<HeavyGraph, 'dispose'> => {
      const names = outputs?.map((output) => output.name);
      const own = { name: part, feeds: feeds ?? {}, outputs: names };
      const entry = this.#enter({ ...own, labels, graph, priority, joins: shares, lastRun });
      entries.push(entry);
      const runInto = (job: Job, sink: Sink) => this.#add(entry, job, sink);
      return {
        inputs: inputs ?? graph.inputs,
        outputs: outputs ?? graph.outputs,
        runInto,
        run(job) {
          const sink = collectOutputs(job.rowCount);
          return runInto(job, sink).then(() => sink.outputs);
        },
      };
    };
    return {
      ...enter(name, parts?.first ?? {}, joins),
      both: parts && enter(second!.names.both, parts.both, joins),
      climb: parts?.climb && enter(second!.names.climb, parts.climb, false),
      notJoined: reason,
      dispose: () => {
        for (const entry of entries) this.#entries.delete(entry);
        graph.dispose();
      },
    };
  }

  /** A queue for runs of a graph. */
  #enter(graph: Omit<Entry, 'queue' | 'msPerRow'>): Entry {
    const { batchRowCountMax, queueRowCountMax } = this.#options;
    const queue = new BatchQueue({
      name: graph.name,
      batchRowCountMax: graph.joins ? batchRowCountMax : 1,
      pieceRowCountMax: () => this.#pieceRowCount(entry),
      queueRowCountMax,
    });
    const entry: Entry = { ...graph, queue, msPerRow: undefined };
    this.#entries.add(entry);
    return entry;
  }

  #add({ queue }: Entry, job: Job, sink: Sink): Promise<void> {
    const done = queue.add(job, sink, this.#options.clock());
    if (!this.#isScheduled) {
      this.#isScheduled = true;
      this.#options.schedule(() => this.#dispatch());
    }
    return done;
  }

  /** Starts waiting jobs: the executor can run more than before. */
  wake(): void {
    this.#dispatch();
  }

  #dispatch(): void {
    this.#isScheduled = false;
    for (;;) {
      const isIdle = this.#options.executor.idleCount > 0;
      const next = isIdle ? this.#nextBatch() : this.#followingBatch();
      if (next === undefined) {
        if (isIdle) this.#waitForOthers();
        return;
      }
      this.#start(next, !isIdle);
    }
  }

  /** The next batch for an idle thread. */
  #nextBatch(): Chosen | undefined {
    const { batchDelayMs, clock } = this.#options;
    for (const priority of urgency) {
      for (const entry of this.#entries) {
        if (entry.priority !== priority || entry.queue.rowCount === 0) continue;
        if (batchDelayMs > 0 && this.#dueAtMs(entry.queue) > clock()) continue;
        const batch = this.#takeFrom(entry);
        if (batch !== undefined) return batch;
      }
    }
    return undefined;
  }

  /**
   * The next batch for a busy thread, handed over early so that it begins right after the current run. Only full runs: they gain nothing
   * by waiting for more rows. Only the most urgent priority: nothing that comes later could go first.
   */
  #followingBatch(): Chosen | undefined {
    for (const entry of this.#entries) {
      if (entry.priority !== urgency[0] || !entry.queue.isFull || !entry.graph.canFollow) continue;
      const batch = this.#takeFrom(entry);
      if (batch !== undefined) return batch;
    }
    return undefined;
  }

  #takeFrom(entry: Entry): Chosen | undefined {
    const batch = entry.queue.take(Date.now());
    if (batch === undefined) return undefined;
    this.#entries.delete(entry);
    this.#entries.add(entry);
    return { entry, batch };
  }

  #pieceRowCount({ joins, msPerRow = Number.POSITIVE_INFINITY }: Entry): number {
    if (!joins) return Number.POSITIVE_INFINITY;
    return Math.max(pieceBatchCount * this.#options.batchRowCountMax, Math.floor(pieceMsMax / msPerRow));
  }

  /** Until when the jobs of a queue wait for others to share their run. */
  #dueAtMs({ oldestAtMs = 0, isFull }: BatchQueue): number {
    return isFull ? 0 : oldestAtMs + this.#options.batchDelayMs;
  }

  /** Dispatches again when the first waiting job is due. */
  #waitForOthers(): void {
    const { batchDelayMs, clock, later } = this.#options;
    if (batchDelayMs === 0 || this.#isWaiting) return;
    const dueMs = [...this.#entries].flatMap(({ queue }) => (queue.rowCount === 0 ? [] : [this.#dueAtMs(queue)]));
    if (dueMs.length === 0) return;
    this.#isWaiting = true;
    later(Math.max(0, Math.min(...dueMs) - clock()), () => {
      this.#isWaiting = false;
      this.#dispatch();
    });
  }

  /** @param isFollowing it begins when another run of the same session ends */
  #start(chosen: Chosen, isFollowing: boolean): void {
    const { entry, batch } = chosen;
    const handedMs = this.#options.clock();
    if (!isFollowing) this.#noteStart(chosen, handedMs);
    const noteEnd = () => {
      const startMs = isFollowing ? Math.max(handedMs, entry.lastRun.freedAtMs) : handedMs;
      if (isFollowing) this.#noteStart(chosen, startMs);
      this.#noteEnd(chosen, startMs);
    };
    const freed = () => {
      noteEnd();
      this.#dispatch();
    };
    try {
      const { graph, outputs } = entry;
      const take = (results: TensorMap) => batch.take(results);
      const run = graph.run({ ...batch.feeds, ...entry.feeds }, { take, freed, outputs });
      const failed = (error: unknown) => batch.reject(error);
      // When its outputs are taken, the thread may accept one more run behind the current one.
      run.then(() => batch.finish(), failed).finally(() => this.#dispatch());
      batch.begin();
    } catch (error) {
      batch.reject(error);
    }
  }

  #noteStart({ entry, batch }: Chosen, startMs: number): void {
    for (const { deadline, queuedAtMs } of batch.jobs) {
      if (deadline.startedAtMs !== undefined) continue;
      deadline.startedAtMs = startMs;
      if (!isStanding(deadline)) this.#options.onWait?.(entry, (startMs - queuedAtMs) / 1000);
    }
  }

  #noteEnd({ entry, batch }: Chosen, startMs: number): void {
    entry.lastRun.freedAtMs = this.#options.clock();
    const ms = entry.lastRun.freedAtMs - startMs;
    if (batch.rowCount >= this.#options.batchRowCountMax) entry.msPerRow = ms / batch.rowCount;
    this.#options.onRun?.({ graph: entry, rowCount: batch.rowCount, seconds: ms / 1000 });
  }
}

/**
 * With the first second graph that goes on every thread, or alone on every thread; and why not with the first of all. A graph whose run does
 * not end is tried no second time.
 */
async function openJoined(
  executor: Executor,
  model: ListedFile,
  options: ExecutorOpenOptions,
  joinings: readonly Joining[],
): Promise<{ readonly graph: ExecutorGraph; readonly joining?: Joining; readonly reason?: string | undefined }> {
  let isLost = false;
  const onLost = (cause: Error) => {
    isLost = true;
    options.onLost?.(cause);
  };
  let reason: string | undefined;
  for (const joining of joinings) {
    try {
      return { graph: await executor.open(model, { ...options, second: joining.bytes, onLost }), joining, reason };
    } catch (error) {
      if (isLost) throw error;
      reason ??= error instanceof Error ? error.message : String(error);
    }
  }
  return { graph: await executor.open(model, options), reason };
}
