/**
 * Threads that hold sessions and run them off the calling thread, for runs longer than a thread hop (about 15 us and two copies of
 * the tensors). Every thread holds every open session; runs wait in one bounded queue and go to the first idle thread.
 */

import { resourceExhausted, unavailable } from '../spec/errors.ts';
import { shareInSlices } from '../spec/in-slices.ts';
import type { Session, SessionOptions, TensorMap } from './session.ts';
import { blockOf, placeTensors, readTensors, writeTensors } from './shared-tensors.ts';
import type { Opened } from './worker-messages.ts';
import { createThread, type Thread } from './worker-thread.ts';

export type WorkerPoolOptions = {
  /** Threads that run sessions, at least 1. */
  readonly workerCount: number;
  /** Runs that may wait for a thread, over all sessions. */
  readonly queueCountMax: number;
  /** Of every session; its `threadCount` is per worker. */
  readonly session: SessionOptions;
};

export type PooledSession = Pick<Session, 'device' | 'inputs' | 'outputs'> & {
  /**
   * Computes every output on a worker thread. Feeds are copied when the run begins, so they must not change before it ends.
   * @param fetches outputs to write in place; the others are allocated
   * @throws HyperpolicyError resource_exhausted where the queue is full, unavailable after disposal or where every thread has died;
   *   Error with the runtime's text for a missing input or a shape that the graph does not take
   */
  run(feeds: TensorMap, fetches?: TensorMap): Promise<TensorMap>;
  /** Frees the session on every thread once the runs accepted so far have ended. */
  dispose(): Promise<void>;
};

export type WorkerPool = {
  /**
   * Loads a model on every thread.
   * @param name used in error messages
   * @throws HyperpolicyError as `openSession` does
   */
  open(model: Uint8Array, name?: string): Promise<PooledSession>;
  /** Runs that wait for a thread. */
  readonly queuedCount: number;
  /** Refuses new runs, lets the accepted ones end, then ends the threads. */
  dispose(): Promise<void>;
};

type Job = { readonly run: (thread: Thread) => Promise<void>; readonly fail: (error: Error) => void };

/** A pool whose threads start at once. The caller disposes it. */
export function createWorkerPool({ workerCount, queueCountMax, session: options }: WorkerPoolOptions): WorkerPool {
  if (!Number.isSafeInteger(workerCount) || workerCount < 1) {
    throw new RangeError(`createWorkerPool: expected a workerCount of at least 1, got ${workerCount}`);
  }
  const threads = Array.from({ length: workerCount }, createThread);
  const idle = [...threads];
  const queue: Job[] = [];
  const accepted = new Set<Promise<unknown>>();
  let sessionCount = 0;
  let disposed: Promise<void> | undefined;

  /** Gives waiting runs to idle threads; a dead thread is not used again. */
  function dispatch(): void {
    while (queue.length > 0 && idle.length > 0) {
      const thread = idle.pop()!;
      if (thread.isAlive)
        void queue
          .shift()!
          .run(thread)
          .finally(() => release(thread));
    }
    if (queue.length > 0 && threads.every(({ isAlive }) => !isAlive)) {
      for (const { fail } of queue.splice(0)) fail(died());
    }
  }

  function release(thread: Thread): void {
    if (thread.isAlive) idle.push(thread);
    dispatch();
  }

  function enqueue<T>(work: (thread: Thread) => Promise<T>): Promise<T> {
    if (disposed !== undefined) return Promise.reject(closed());
    if (idle.length === 0 && queue.length >= queueCountMax) return Promise.reject(full(queueCountMax));
    const done = new Promise<T>((resolve, fail) => {
      queue.push({ run: (thread) => work(thread).then(resolve, fail), fail });
    });
    track(accepted, done);
    dispatch();
    return done;
  }

  return {
    async open(model, name = 'model') {
      if (disposed !== undefined) throw closed();
      const id = sessionCount++;
      const shared = await shareInSlices(model);
      if (disposed !== undefined) throw closed();
      const opening = openOnAll(threads, { session: id, model: shared, options, name });
      track(accepted, opening);
      const { device, inputs, outputs } = await opening;
      const running = new Set<Promise<unknown>>();
      let gone: Promise<void> | undefined;
      return {
        device,
        inputs,
        outputs,
        run(feeds, fetches) {
          if (gone !== undefined) return Promise.reject(closed(name));
          const result = enqueue((thread) => runOn(thread, id, feeds, fetches));
          track(running, result);
          return result;
        },
        dispose() {
          gone ??= settled(running).then(() => closeOnAll(threads, id));
          return gone;
        },
      };
    },
    get queuedCount() {
      return queue.length;
    },
    dispose() {
      disposed ??= settled(accepted).then(async () => {
        await Promise.all(threads.map((thread) => thread.end()));
      });
      return disposed;
    },
  };
}

async function runOn(thread: Thread, session: number, feeds: TensorMap, fetches?: TensorMap): Promise<TensorMap> {
  const { places, byteLength } = placeTensors(feeds);
  const block = blockOf(thread.inputBlock, byteLength);
  const isNew = block !== thread.inputBlock;
  thread.inputBlock = block;
  writeTensors(block, places, feeds);
  const reply = await thread.ask({ kind: 'run', session, places, ...(isNew && { block }) }, 'ran');
  thread.outputBlock = reply.block ?? thread.outputBlock;
  return readTensors(thread.outputBlock, reply.places, fetches);
}

async function openOnAll(
  threads: readonly Thread[],
  request: { session: number; model: SharedArrayBuffer; options: SessionOptions; name: string },
): Promise<Opened> {
  const alive = threads.filter(({ isAlive }) => isAlive);
  const results = await Promise.allSettled(alive.map((thread) => thread.ask({ kind: 'open', ...request }, 'opened')));
  const failure = results.find((result) => result.status === 'rejected');
  const opened = results.find((result) => result.status === 'fulfilled');
  if (failure === undefined && opened !== undefined) return opened.value;
  await closeOnAll(threads, request.session);
  throw failure === undefined ? died() : failure.reason;
}

async function closeOnAll(threads: readonly Thread[], session: number): Promise<void> {
  const alive = threads.filter(({ isAlive }) => isAlive);
  await Promise.allSettled(alive.map((thread) => thread.ask({ kind: 'close', session }, 'closed')));
}

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

const died = () => unavailable({ where: 'worker pool', expected: 'a live thread', actual: 'none: all have ended' });
