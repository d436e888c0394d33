/** One worker thread as the pool sees it: requests out, replies back. */

import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { failedPrecondition, unavailable } from '../contract/errors.ts';
import { endProcess } from '../contract/process-end.ts';
import { Link } from '../messages/link.ts';
import { type CallTime, waitedMsOf, watchCalls } from './call-watch.ts';
import { neglect, raisePriority } from './low-priority.ts';
// Here too: a process whose threads run graphs may run none itself.
import './no-telemetry.ts';
import './precision.ts';
import type { ToPool, ToThread, WorkerData } from './worker-messages.ts';

/** Shared memory for the tensors of one run, in and out; blocks are replaced by larger ones as needed. */
export type Lane = { readonly id: number; input: SharedArrayBuffer; output: SharedArrayBuffer };

/** One for a run that is under way, and one for the run before, whose outputs are being read, or for the run behind it. */
const laneCount = 2;

export type Thread = {
  /** False once the thread has ended, told or not, or was given up. */
  readonly isAlive: boolean;
  /** Those that no run uses. */
  readonly freeLanes: Lane[];
  /** Sessions that it has, and how many it is opening; the pool says so. */
  readonly sessions: Set<number>;
  openings: number;
  /** Whether it lacks sessions that the others have; likewise. */
  isStarting: boolean;
  /** Sessions of the runs that were asked for and not answered, in order. */
  readonly runs: number[];
  /** @throws the thread's error; HyperpolicyError unavailable where the thread ends before it answers */
  ask<Kind extends keyof ToThread>(
    kind: Kind,
    request: Parameters<ToThread[Kind]>[0],
  ): Promise<ReturnType<ToThread[Kind]>>;
  /** Back to its own priority, if it is at a lower one: somebody waits. */
  hurry(): void;
  /** The session of the native call that it is in, and its time. To be called at a fixed interval. */
  look(intervalMs: number): CallTime & { readonly session: number };
  /** Gives it up: nobody can end its call, so it goes on at the lowest priority, and ends when that call does. */
  abandon(reason: Error): void;
  /** Tells the thread to end, and waits for it. */
  end(): Promise<void>;
};

/** Those that were given up and are still there. */
const stranded = new Set<Worker>();

/** Threads of this process that were given up and are still in their call. */
export const strandedCount = (): number => stranded.size;

/** A process waits for its threads when it ends. */
function strand(worker: Worker): void {
  if (stranded.size === 0) process.on('exit', endIfStranded);
  stranded.add(worker);
  worker.once('exit', () => {
    stranded.delete(worker);
    if (stranded.size === 0) process.off('exit', endIfStranded);
  });
  worker.unref();
}

const endIfStranded = () => endProcess();

export const createThread = (): Thread => new PoolThread();

class PoolThread implements Thread {
  readonly freeLanes: Lane[] = Array.from({ length: laneCount }, (_, id) => ({
    id,
    input: new SharedArrayBuffer(0),
    output: new SharedArrayBuffer(0),
  }));
  readonly sessions = new Set<number>();
  openings = 0;
  isStarting = false;
  readonly runs: number[] = [];
  readonly #systemId = new Int32Array(new SharedArrayBuffer(8));
  readonly #calls = new Int32Array(new SharedArrayBuffer(8));
  readonly #worker: Worker;
  readonly #link: Link<ToThread, ToPool>;
  readonly #callTime: ReturnType<typeof watchCalls>;
  readonly #gone: Promise<void>;
  #tellGone = () => {};

  constructor() {
    const workerData: WorkerData = { systemId: this.#systemId, calls: this.#calls };
    const worker = new Worker(workerFile(), { workerData });
    this.#worker = worker;
    this.#link = new Link<ToThread, ToPool>({
      name: 'worker pool',
      send: (message) => worker.postMessage(message),
      answer: {},
    });
    this.#gone = new Promise<void>((resolve) => {
      this.#tellGone = resolve;
    });
    this.#callTime = watchCalls({
      count: () => Atomics.load(this.#calls, 0),
      waitedMs: () => waitedMsOf(this.#systemId[0]!),
    });
    let crash: Error | undefined;
    worker.on('message', (message) => this.#link.receive(message));
    worker.on('error', (error) => {
      crash = error;
    });
    worker.on('exit', (code) => this.#leave(ended(code, crash)));
  }

  get isAlive(): boolean {
    return !this.#link.closed;
  }

  hurry(): void {
    if (this.isAlive) raisePriority(this.#systemId[1]!);
  }

  ask<Kind extends keyof ToThread>(
    kind: Kind,
    request: Parameters<ToThread[Kind]>[0],
  ): Promise<ReturnType<ToThread[Kind]>> {
    return this.#link.ask(kind, request, Number.POSITIVE_INFINITY);
  }

  end(): Promise<void> {
    // Its end is the answer.
    if (this.isAlive) this.#link.ask('end', null, Number.POSITIVE_INFINITY).catch(() => {});
    return this.#gone;
  }

  look(intervalMs: number): CallTime & { readonly session: number } {
    return { session: this.#calls[1]!, ...this.#callTime(intervalMs) };
  }

  abandon(reason: Error): void {
    // Not `terminate`: the runtime's binding throws into a thread that was told so, which ends the process.
    void this.end();
    this.#leave(reason);
    strand(this.#worker);
    neglect(this.#systemId[0]!);
  }

  #leave(reason: Error): void {
    this.#link.close(reason);
    this.#tellGone();
  }
}

/**
 * The thread's program: beside this file where it is compiled or Node strips types; else (TypeScript run by a bundler, as tests are)
 * the compiled one of the last build.
 */
function workerFile(): URL {
  if (import.meta.url.endsWith('.js')) return new URL('./worker.js', import.meta.url);
  if ('typescript' in process.features && process.features.typescript !== false) {
    return new URL('./worker.ts', import.meta.url);
  }
  const built = new URL('../../dist/src/onnx/worker.js', import.meta.url);
  if (existsSync(built)) return built;
  throw failedPrecondition({
    where: 'worker pool',
    expected: `the compiled ${built.pathname}`,
    actual: 'no file',
    remedy: 'Build it with npm run build',
  });
}

const ended = (code: number, cause: Error | undefined) =>
  unavailable({
    where: 'worker pool',
    expected: 'a live thread',
    actual: cause === undefined ? `one that ended with code ${code}` : `one that ended: ${cause.message}`,
    cause,
  });
