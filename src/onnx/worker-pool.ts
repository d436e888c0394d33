/**
 * Threads that hold sessions and run them off the calling thread, for runs longer than a thread hop (about 15 us and two copies of
 * the tensors). Every thread holds every open session; runs wait in one bounded queue and go to the first idle thread. One run may
 * lie ready behind another of its session, so that the thread need not wait for this one between the two.
 */

import { resourceExhausted, unavailable } from '../contract/errors.ts';
import { shareInSlices } from '../pacing/in-slices.ts';
import type { ListedFile } from '../package/listed-file.ts';
import type { Device } from './providers.ts';
import type { Session, SessionOptions, TensorMap } from './session.ts';
import { blockOf, copyTensors, placeTensors, viewTensors, writeTensors } from './shared-tensors.ts';
import type { Lane, Thread } from './worker-thread.ts';
import { createThreads, died, type ThreadsOptions } from './worker-threads.ts';

export type WorkerPoolOptions = Pick<ThreadsOptions, 'runMsMax' | 'loadMsMax' | 'onGivenUp'> & {
  /** A thread that took the place of another can run sessions now. */
  readonly onReady?: (() => void) | undefined;
  /** Threads that run sessions, at least 1. */
  readonly workerCount: number;
  /** Runs that may wait for a thread, over all sessions. */
  readonly queueCountMax: number;
  /** Of every session; its `threadCount` is per worker. */
  readonly session: SessionOptions;
};

export type PooledSession = Pick<Session, 'device' | 'inputs' | 'outputs'> & {
  /**
   * Computes the outputs on a worker thread. Feeds are copied when the run begins, so they must not change before it ends.
   * @param taking what becomes of the outputs; unless given they are copied
   * @throws HyperpolicyError resource_exhausted where the queue is full, unavailable after disposal or where every thread has died;
   *   Error with the runtime's text for a missing input or a shape that the graph does not take; what `take` throws
   */
  run(feeds: TensorMap): Promise<TensorMap>;
  run<T>(feeds: TensorMap, taking: Taking<T>): Promise<T>;
  /** Whether a run would at once lie ready behind one of this session that is under way. */
  readonly canFollow: boolean;
  /** Frees the session on every thread once the runs accepted so far have ended. */
  dispose(): Promise<void>;
};

export type Taking<T> = {
  /** Given views of shared memory that is used again when it returns: it copies what is to stay. */
  readonly take: (outputs: TensorMap) => T;
  /** Told, before that, that the thread has done its part and can begin another run. */
  readonly freed?: () => void;
  /** Names of the outputs that are wanted; all unless given. */
  readonly outputs?: readonly string[] | undefined;
};

export type OpenOptions = {
  /** Used in error messages. */
  readonly name?: string;
  /** Every thread runs the graph over zeros, once with each of these numbers of rows, before the session is given back. */
  readonly warmUpRowCounts?: readonly number[];
  /** Milliseconds that a thread rests for each millisecond of loading, so that others have the core; 0 unless given. */
  readonly restRatio?: number;
  /** In place of the pool's. */
  readonly device?: Device;
  /** A graph to join behind it, as `Joining.bytes`: openWarm. */
  readonly second?: Uint8Array | undefined;
  /** Told once if the session is of no more use: a run of it did not end in time, or a new thread cannot open it. Later runs fail so. */
  readonly onLost?: ((reason: Error) => void) | undefined;
};

export type WorkerPool = {
  /**
   * Loads a model on every thread, at low priority: a thread that a run is waiting for goes on at its own. With rests the threads do so
   * one after the other.
   * @param model bytes, or a file that each thread reads and verifies for itself, so that its bytes never come to this thread
   * @throws HyperpolicyError as `openSession` does, `readListedFile` and `warmUp`
   */
  open(model: Uint8Array | ListedFile, options?: OpenOptions): Promise<PooledSession>;
  /** Runs that wait for a thread. */
  readonly queuedCount: number;
  /** Threads that have nothing to do; 1 where all have died, and a run would say so. */
  readonly idleCount: number;
  /** Refuses new runs, lets the accepted ones end, then ends the threads. */
  dispose(): Promise<void>;
};

type Job = {
  readonly session: number;
  readonly run: (thread: Thread, lane: Lane) => Promise<void>;
  readonly fail: (error: Error) => void;
};

/** A pool whose threads start at once. The caller disposes it. */
export function createWorkerPool({
  workerCount,
  queueCountMax,
  session: options,
  onReady,
  ...watching
}: WorkerPoolOptions): WorkerPool {
  if (!Number.isSafeInteger(workerCount) || workerCount < 1) {
    throw new RangeError(`createWorkerPool: expected a workerCount of at least 1, got ${workerCount}`);
  }
  const onLosses = new Map<number, (reason: Error) => void>();
  const onLost = (session: number, reason: Error) => {
    for (const job of queue.filter((waiting) => waiting.session === session)) {
      queue.splice(queue.indexOf(job), 1);
      job.fail(reason);
    }
    onLosses.get(session)?.(reason);
    onLosses.delete(session);
  };
  const pooled = createThreads({ workerCount, ...watching, onLost, onReady: threadReady });
  const threads = pooled.all;
  const queue: Job[] = [];
  const accepted = new Set<Promise<unknown>>();
  let sessionCount = 0;
  let disposed: Promise<void> | undefined;

  /** Those that open a graph come last: a step of that may be under way. */
  const idle = () =>
    threads
      .filter(
        (thread) => thread.isAlive && !thread.isStarting && thread.runs.length === 0 && thread.freeLanes.length > 0,
      )
      .sort((a, b) => Number(a.openings > 0) - Number(b.openings > 0));

  /** The thread that can begin a run of a session soonest; undefined where it must wait. A dead thread is not used again. */
  const threadFor = (session: number): Thread | undefined =>
    idle()[0] ?? threads.find((thread) => canFollow(thread, session));

  /** Gives waiting runs to threads. */
  function dispatch(): void {
    while (queue.length > 0) {
      const thread = threadFor(queue[0]!.session);
      if (thread === undefined) break;
      void queue.shift()!.run(thread, thread.freeLanes.pop()!);
    }
    if (queue.length > 0 && threads.every(({ isAlive }) => !isAlive)) {
      for (const { fail } of queue.splice(0)) fail(died());
    }
  }

  function threadReady(): void {
    dispatch();
    onReady?.();
  }

  /** One run on a thread: the next one begins before this one's outputs are taken. */
  async function runOn<T>({ thread, lane, session, feeds, taking }: ThreadRun<T>): Promise<T> {
    try {
      const { places, byteLength } = placeTensors(feeds);
      const block = blockOf(lane.input, byteLength);
      const isNew = block !== lane.input;
      lane.input = block;
      writeTensors(block, places, feeds);
      const { outputs } = taking;
      const request = { session, lane: lane.id, places, ...(isNew && { block }), ...(outputs && { outputs }) };
      thread.runs.push(session);
      if (thread.openings > 0) thread.hurry();
      const reply = await thread.ask('run', request).finally(() => thread.runs.shift());
      lane.output = reply.block ?? lane.output;
      taking.freed?.();
      dispatch();
      return taking.take(viewTensors(lane.output, reply.places));
    } finally {
      thread.freeLanes.push(lane);
      dispatch();
    }
  }

  function enqueue<T>(session: number, feeds: TensorMap, taking: Taking<T>): Promise<T> {
    if (disposed !== undefined) return Promise.reject(closed());
    if (threadFor(session) === undefined && queue.length >= queueCountMax) return Promise.reject(full(queueCountMax));
    const done = new Promise<T>((resolve, fail) => {
      const run = (thread: Thread, lane: Lane) => runOn({ thread, lane, session, feeds, taking }).then(resolve, fail);
      queue.push({ session, run, fail });
    });
    track(accepted, done);
    dispatch();
    return done;
  }

  return {
    async open(
      source,
      { name = 'model', warmUpRowCounts = [], restRatio = 0, device: ownDevice, second, onLost: tell } = {},
    ) {
      if (disposed !== undefined) throw closed();
      const id = sessionCount++;
      const model = source instanceof Uint8Array ? await shareInSlices(source) : source;
      if (disposed !== undefined) throw closed();
      const sessionOptions = ownDevice === undefined ? options : { ...options, device: ownDevice };
      const request = { session: id, model, second, options: sessionOptions, warmUpRowCounts, restRatio, name };
      let lost: Error | undefined;
      onLosses.set(id, (reason) => {
        lost = reason;
        tell?.(reason);
      });
      const opening = pooled.open(request);
      track(accepted, opening);
      const { device, inputs, outputs } = await opening.catch((error: unknown) => {
        onLosses.delete(id);
        throw error;
      });
      const running = new Set<Promise<unknown>>();
      let gone: Promise<void> | undefined;
      return {
        device,
        inputs,
        outputs,
        run<T = TensorMap>(feeds: TensorMap, taking?: Taking<T>): Promise<T> {
          if (gone !== undefined) return Promise.reject(closed(name));
          if (lost !== undefined) return Promise.reject(lost);
          const result = enqueue(id, feeds, taking ?? { take: copyTensors as (outputs: TensorMap) => T });
          track(running, result);
          return result;
        },
        get canFollow() {
          return threads.some((thread) => canFollow(thread, id));
        },
        dispose() {
          gone ??= settled(running).then(() => {
            onLosses.delete(id);
            return pooled.close(id);
          });
          return gone;
        },
      };
    },
    get queuedCount() {
      return queue.length;
    },
    get idleCount() {
      return threads.some(({ isAlive }) => isAlive) ? idle().length : 1;
    },
    dispose() {
      disposed ??= settled(accepted).then(pooled.end);
      return disposed;
    },
  };
}

type ThreadRun<T> = {
  readonly thread: Thread;
  readonly lane: Lane;
  readonly session: number;
  readonly feeds: TensorMap;
  readonly taking: Taking<T>;
};

const canFollow = ({ isAlive, runs, freeLanes }: Thread, session: number): boolean =>
  isAlive && runs.length === 1 && runs[0] === session && freeLanes.length > 0;

/** Keeps a promise in the set until it settles; its rejection is its owner's. */
function track(set: Set<Promise<unknown>>, promise: Promise<unknown>): void {
  const ended: Promise<unknown> = promise.then(
    () => set.delete(ended),
    () => set.delete(ended),
  );
  set.add(ended);
}

async function settled(set: ReadonlySet<Promise<unknown>>): Promise<void> {
  await Promise.all(set);
}

const full = (queueCountMax: number) =>
  resourceExhausted({
    where: 'worker pool',
    expected: `at most ${queueCountMax} runs waiting`,
    actual: 'one more',
    remedy: 'Try again later, or raise queueCountMax',
  });

const closed = (name = 'worker pool') =>
  unavailable({ where: name, expected: 'an open session', actual: 'one that is disposed' });
