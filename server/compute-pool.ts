/**
 * Where heavy graphs run: primaries, plain critics, encoders and inner steps. Each graph has a queue; whenever the executor can take a run it gets a batch of
 * the most urgent graph that has one. What waits while a run is under way goes into the next one together. Small dynamic networks and
 * policies do not come here: they run where the request is.
 */

import type { TensorMap } from '../src/onnx/session.ts';
import { type BatchQueue, createBatchQueue, type Job } from './batcher.ts';

/** The first of `urgency` runs first. */
export type Priority = 'act' | 'adapt' | 'q-grad';

/** A heavy graph that is ready to run. */
export type HeavyGraph = {
  /** Input and output names of the loaded graph. */
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /**
   * Queues a job; its outputs are its own rows.
   * @throws HyperpolicyError resource_exhausted: the queue is full; deadline_exceeded: the job became late while it waited
   */
  run(job: Job): Promise<TensorMap>;
  /** Call when no run is in flight. */
  dispose(): void;
};

export type OpenGraphOptions = {
  readonly name: string;
  readonly priority: Priority;
  /** Whether jobs may share a run, as rows below each other; they may unless told otherwise. */
  readonly joins?: boolean;
};

/** Runs loaded graphs, one at a time. */
export type Executor = {
  /** Runs at once. */
  readonly runCountMax: number;
  /** @throws HyperpolicyError invalid_argument where the bytes are not a graph that the runtime takes */
  open(model: Uint8Array, name: string): Promise<ExecutorGraph>;
};

export type ExecutorGraph = Omit<HeavyGraph, 'run'> & { run(feeds: TensorMap): TensorMap | Promise<TensorMap> };

export type ComputePool = {
  /** @throws HyperpolicyError as the executor */
  open(model: Uint8Array, options: OpenGraphOptions): Promise<HeavyGraph>;
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
};

const urgency: readonly Priority[] = ['act', 'adapt', 'q-grad'];

export function createComputePool(options: ComputePoolOptions): ComputePool {
  const { executor, batchRowCountMax, queueRowCountMax, batchDelayMs = 0, onRun, onWait } = options;
  const clock = options.clock ?? (() => performance.now());
  const later = options.later ?? ((delayMs, action) => void setTimeout(action, delayMs));
  const schedule = options.schedule ?? ((dispatch) => void setImmediate(dispatch));
  const entries = new Set<Entry>();
  let runningCount = 0;
  let scheduled = false;
  /** A timer is set for jobs that wait for others. */
  let waiting = false;

  /** When a queue's jobs need wait for others no longer. */
  const dueAtMs = ({ oldestAtMs = 0, isFull }: BatchQueue): number => (isFull ? 0 : oldestAtMs + batchDelayMs);

  /** Of graphs that are equally urgent the one that was served longest ago comes first: a Set keeps that order. */
  function nextBatch() {
    for (const priority of urgency) {
      for (const entry of entries) {
        if (entry.priority !== priority || entry.queue.rowCount === 0) continue;
        if (batchDelayMs > 0 && dueAtMs(entry.queue) > clock()) continue;
        const batch = entry.queue.take(Date.now());
        if (batch === undefined) continue;
        entries.delete(entry);
        entries.add(entry);
        return { entry, batch };
      }
    }
    return undefined;
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
    while (runningCount < executor.runCountMax) {
      const next = nextBatch();
      if (next === undefined) {
        waitForOthers();
        return;
      }
      const { entry, batch } = next;
      const startMs = clock();
      for (const { deadline, queuedAtMs } of batch.jobs) {
        deadline.startedAtMs = startMs;
        onWait?.(entry.name, (startMs - queuedAtMs) / 1000);
      }
      const finish = (outputs: TensorMap) => {
        onRun?.({ name: entry.name, rowCount: batch.rowCount, seconds: (clock() - startMs) / 1000 });
        batch.resolve(outputs);
      };
      try {
        const outputs = entry.graph.run(batch.feeds);
        if (!(outputs instanceof Promise)) {
          finish(outputs);
          continue;
        }
        runningCount++;
        // The next run begins before this one's results are handed out, so that the thread does not wait for that.
        const next = () => {
          runningCount--;
          dispatch();
        };
        outputs.then(
          (result) => {
            next();
            try {
              finish(result);
            } catch (error) {
              // Outputs that do not fit the jobs: a fault of the graph, told to each.
              batch.reject(error);
            }
          },
          (error: unknown) => {
            next();
            batch.reject(error);
          },
        );
      } catch (error) {
        batch.reject(error);
      }
    }
  }

  return {
    async open(model, { name, priority, joins = true }) {
      const graph = await executor.open(model, name);
      const entry: Entry = {
        queue: createBatchQueue({ name, batchRowCountMax: joins ? batchRowCountMax : 1, queueRowCountMax }),
        graph,
        name,
        priority,
      };
      entries.add(entry);
      return {
        inputNames: graph.inputNames,
        outputNames: graph.outputNames,
        run(job) {
          const outputs = entry.queue.add(job, clock());
          if (!scheduled) {
            scheduled = true;
            schedule(dispatch);
          }
          return outputs;
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
