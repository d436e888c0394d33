/**
 * Threads that hold sessions and run them off the calling thread, for runs longer than a thread hop (about 15 us and two copies of
 * the tensors). Every thread holds every open session; runs wait in one bounded queue and go to the first idle thread. One run may
 * lie ready behind another of its session, so that the thread need not wait for this one between the two.
 */

import { unavailable } from '../contract/errors.ts';
import { shareInSlices } from '../pacing/in-slices.ts';
import type { ListedFile } from '../package/listed-file.ts';
import type { Device } from './providers.ts';
import { RunQueue, type Taking } from './run-queue.ts';
import type { Session, SessionOptions, TensorMap } from './session.ts';
import { copyTensors } from './shared-tensors.ts';
import type { Opened } from './worker-messages.ts';
import { createThreads, type Threads, type ThreadsOptions } from './worker-threads.ts';

export type WorkerPoolOptions = Pick<ThreadsOptions, 'runMsMax' | 'loadMsMax' | 'onGivenUp'> & {
  /** A thread that replaces another can run sessions now. */
  readonly onReady?: (() => void) | undefined;
  /** Threads that run sessions, at least 1. */
  readonly workerCount: number;
  /** Runs that may wait for a thread, over all sessions. */
  readonly queueCountMax: number;
  /** Of every session; its `threadCount` is per worker. */
  readonly session: SessionOptions;
};

type PooledSession = Pick<Session, 'device' | 'inputs' | 'outputs'> & {
  /**
   * Computes the outputs on a worker thread. Feeds are copied when the run begins, so they must not change before it ends.
   * @param taking what becomes of the outputs; unless given they are copied
   * @throws HyperpolicyError resource_exhausted where the queue is full, unavailable after disposal or where every thread has died; what
   *   Session.run and `take` throw
   */
  run(feeds: TensorMap): Promise<TensorMap>;
  run<T>(feeds: TensorMap, taking: Taking<T>): Promise<T>;
  /** Whether a run would at once lie ready behind one of this session that is under way. */
  readonly canFollow: boolean;
  /** Frees the session on every thread once the runs accepted so far have ended. */
  dispose(): Promise<void>;
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
  /** Called once if the session cannot be used any more: a run of it did not end in time, or a new thread cannot open it. Later runs fail. */
  readonly onLost?: ((reason: Error) => void) | undefined;
  /** As of ThreadsOptions: told while a call of this session takes long, also while it is opened. */
  readonly onSlow?: (() => boolean) | undefined;
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

/** A pool whose threads start at once. The caller disposes it. */
export function createWorkerPool(options: WorkerPoolOptions): WorkerPool {
  const { workerCount } = options;
  if (!Number.isSafeInteger(workerCount) || workerCount < 1) {
    throw new RangeError(`createWorkerPool: expected a workerCount of at least 1, got ${workerCount}`);
  }
  return new ThreadPool(options);
}

class ThreadPool implements WorkerPool {
  readonly #session: SessionOptions;
  readonly #threads: Threads;
  readonly #queue: RunQueue;
  /** Who is told of each session. */
  readonly #owners = new Map<number, Required<Pick<OpenOptions, 'onLost' | 'onSlow'>>>();
  readonly #accepted = new Set<Promise<unknown>>();
  #sessionCount = 0;
  #disposed: Promise<void> | undefined;

  constructor({ queueCountMax, session, onReady, ...threads }: WorkerPoolOptions) {
    this.#session = session;
    this.#threads = createThreads({
      ...threads,
      onLost: (id, reason) => this.#lose(id, reason),
      onSlow: (id) => this.#owners.get(id)?.onSlow?.() ?? false,
      onReady: () => {
        this.#queue.dispatch();
        onReady?.();
      },
    });
    this.#queue = new RunQueue(this.#threads.all, queueCountMax);
  }

  async open(source: Uint8Array | ListedFile, options: OpenOptions = {}): Promise<PooledSession> {
    const { name = 'model', warmUpRowCounts = [], restRatio = 0, device, second, onLost, onSlow } = options;
    if (this.#disposed !== undefined) throw closed();
    const session = this.#sessionCount++;
    const model = source instanceof Uint8Array ? await shareInSlices(source) : source;
    if (this.#disposed !== undefined) throw closed();
    const sessionOptions = device === undefined ? this.#session : { ...this.#session, device };
    let lost: Error | undefined;
    const onLoss = (reason: Error) => {
      lost = reason;
      onLost?.(reason);
    };
    this.#owners.set(session, { onLost: onLoss, onSlow });
    const request = { session, model, second, options: sessionOptions, warmUpRowCounts, restRatio, name };
    const opening = this.#threads.open(request);
    track(this.#accepted, opening);
    const opened = await opening.catch((error: unknown) => {
      this.#owners.delete(session);
      throw error;
    });
    return new OpenSession(opened, {
      name,
      reasonOfLoss: () => lost,
      canFollow: () => this.#queue.canFollow(session),
      run: (feeds, taking) => this.#run(session, feeds, taking),
      close: () => this.#close(session),
    });
  }

  get queuedCount(): number {
    return this.#queue.count;
  }

  get idleCount(): number {
    return this.#queue.idleCount;
  }

  dispose(): Promise<void> {
    this.#disposed ??= settled(this.#accepted).then(() => this.#threads.end());
    return this.#disposed;
  }

  #run<T>(session: number, feeds: TensorMap, taking: Taking<T>): Promise<T> {
    if (this.#disposed !== undefined) return Promise.reject(closed());
    const done = this.#queue.add(session, feeds, taking);
    track(this.#accepted, done);
    return done;
  }

  #close(session: number): Promise<void> {
    this.#owners.delete(session);
    return this.#threads.close(session);
  }

  #lose(session: number, reason: Error): void {
    this.#queue.drop(session, reason);
    this.#owners.get(session)?.onLost?.(reason);
    this.#owners.delete(session);
  }
}

/** What a session needs of its pool. */
type OpenedIn = {
  readonly name: string;
  /** Undefined unless the session was lost. */
  reasonOfLoss(): Error | undefined;
  canFollow(): boolean;
  run<T>(feeds: TensorMap, taking: Taking<T>): Promise<T>;
  close(): Promise<void>;
};

class OpenSession implements PooledSession {
  readonly device: PooledSession['device'];
  readonly inputs: PooledSession['inputs'];
  readonly outputs: PooledSession['outputs'];
  readonly #pool: OpenedIn;
  readonly #running = new Set<Promise<unknown>>();
  #gone: Promise<void> | undefined;

  constructor({ device, inputs, outputs }: Opened, pool: OpenedIn) {
    this.device = device;
    this.inputs = inputs;
    this.outputs = outputs;
    this.#pool = pool;
  }

  run<T = TensorMap>(feeds: TensorMap, taking?: Taking<T>): Promise<T> {
    if (this.#gone !== undefined) return Promise.reject(closed(this.#pool.name));
    const lost = this.#pool.reasonOfLoss();
    if (lost !== undefined) return Promise.reject(lost);
    const result = this.#pool.run(feeds, taking ?? { take: copyTensors as (outputs: TensorMap) => T });
    track(this.#running, result);
    return result;
  }

  get canFollow(): boolean {
    return this.#pool.canFollow();
  }

  dispose(): Promise<void> {
    this.#gone ??= settled(this.#running).then(() => this.#pool.close());
    return this.#gone;
  }
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

const closed = (name = 'worker pool') =>
  unavailable({ where: name, expected: 'an open session', actual: 'one that is disposed' });
