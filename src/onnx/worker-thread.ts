/** One worker thread as the pool sees it: requests out, replies back. */

import { existsSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { failedPrecondition, unavailable } from '../contract/errors.ts';
import { raisePriority } from './low-priority.ts';
// Here too: a process whose threads run graphs may run none itself.
import './no-telemetry.ts';
import { type Numbered, type Reply, type Request, uncarry, type WorkerData } from './worker-messages.ts';

type ReplyOf<K extends Reply['kind']> = Extract<Reply, { kind: K }>;

/** Shared memory for the tensors of one run, in and out; blocks are replaced by larger ones as needed. */
export type Lane = { readonly id: number; input: SharedArrayBuffer; output: SharedArrayBuffer };

/** One for a run that is under way, and one for the run before, whose outputs are being read, or for the run behind it. */
const laneCount = 2;

export type Thread = {
  /** False once the thread has ended, told or not. */
  readonly isAlive: boolean;
  /** Those that no run uses. */
  readonly freeLanes: Lane[];
  /** Whether it opens a graph; the pool says so. */
  isOpening: boolean;
  /** Sessions of the runs that were asked for and not answered, in order. */
  readonly runs: number[];
  /** @throws the thread's error; HyperpolicyError unavailable where the thread ends before it answers */
  ask<K extends Reply['kind']>(request: Request, expected: K): Promise<ReplyOf<K>>;
  /** Back to its own priority, if it is at a lower one: somebody waits. */
  hurry(): void;
  /** Tells the thread to end, and waits for it. */
  end(): Promise<void>;
};

type Waiting = { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void };

export function createThread(): Thread {
  const systemId = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(workerFile(), { workerData: { systemId } satisfies WorkerData });
  const waiting = new Map<number, Waiting>();
  let requestCount = 0;
  let isAlive = true;
  let crash: Error | undefined;
  worker.on('message', ({ id, content: reply }: Numbered<Reply>) => {
    const { resolve, reject } = waiting.get(id)!;
    waiting.delete(id);
    if (reply.kind === 'failed') reject(uncarry(reply.error));
    else resolve(reply);
  });
  worker.on('error', (error) => {
    crash = error;
  });
  const exited = new Promise<void>((resolve) => {
    worker.on('exit', (code) => {
      isAlive = false;
      for (const { reject } of waiting.values()) reject(ended(code, crash));
      waiting.clear();
      resolve();
    });
  });
  return {
    get isAlive() {
      return isAlive;
    },
    freeLanes: Array.from({ length: laneCount }, (_, id) => ({
      id,
      input: new SharedArrayBuffer(0),
      output: new SharedArrayBuffer(0),
    })),
    isOpening: false,
    runs: [],
    hurry() {
      if (isAlive) raisePriority(systemId[0]!);
    },
    ask(request, _expected) {
      if (!isAlive) return Promise.reject(ended(undefined, crash));
      return new Promise((resolve, reject) => {
        const id = requestCount++;
        waiting.set(id, { resolve: resolve as (reply: Reply) => void, reject });
        worker.postMessage({ id, content: request } satisfies Numbered<Request>);
      });
    },
    end() {
      if (isAlive) worker.postMessage({ id: requestCount++, content: { kind: 'end' } } satisfies Numbered<Request>);
      return exited;
    },
  };
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

const ended = (code: number | undefined, cause: Error | undefined) =>
  unavailable({
    where: 'worker pool',
    expected: 'a live thread',
    actual: cause === undefined ? `one that ended with code ${code}` : `one that ended: ${cause.message}`,
    cause,
  });
