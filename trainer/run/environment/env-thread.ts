/** One thread of user code as the main thread sees it: orders, questions, and how long it may take. */

import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { failedPrecondition } from '../../../src/contract/errors.ts';
import { endProcess } from '../../../src/contract/process-end.ts';
import { thrownText } from '../../../src/envs/user-code.ts';
import { readTrail } from '../../../src/envs/user-code-trail.ts';
// Before a thread that evaluates policies.
import '../../../src/onnx/no-telemetry.ts';
import { failureError } from '../../machine/thread-failure.ts';
import { workerFile } from '../../machine/worker-file.ts';
import type { OpenOptions } from './environment.ts';
import { disposalMs, graceMs, HangError } from './hang.ts';
import { Orders } from './orders.ts';
import {
  controlByteCount,
  type EnvMessage,
  type EnvQuestions,
  type EnvThreadData,
  type Job,
  jobs,
  trailOf,
} from './protocol.ts';

export type EnvThread = {
  /**
   * Asks when it is done with what it does.
   * @throws the thread's error; HangError; failed_precondition if the thread has ended
   */
  ask<Kind extends keyof EnvQuestions>(
    kind: Kind,
    body: Parameters<EnvQuestions[Kind]>[0],
  ): Promise<ReturnType<EnvQuestions[Kind]>>;
  /** Only while it is idle. @param episode of a reset; -1 for the next one */
  order(job: Job, batch: number, episode: number): void;
  /** Waits at most `timeoutMs`. @returns whether its order is done, or the thread has ended */
  isIdle(timeoutMs: number): boolean;
  /** Errors since the last call, of rows or of the thread. */
  takeFailures(): Error[];
  /** With true, work in progress ends between two calls into user code: its result is not needed. */
  cut(isCut: boolean): void;
  /** Cuts work in progress after an interrupt, and waits for user code. No step follows. @returns the hang, if it hung */
  settle(): Promise<HangError | undefined>;
  /** Disposes the environments, for `disposalMs` at most, and ends the thread. */
  end(): Promise<void>;
};

const watchIntervalMs = 50;
const terminationMs = 1000;

export const startEnvThread = (place: string, options: OpenOptions): EnvThread => new UserThread(place, options);

class UserThread implements EnvThread {
  readonly #place: string;
  readonly #tell: OpenOptions['tell'];
  readonly #memory = new SharedArrayBuffer(controlByteCount);
  readonly #orders = new Orders(new Int32Array(this.#memory));
  readonly #port: MessagePort;
  readonly #worker: Worker;
  readonly #failures: Error[] = [];
  readonly #stopWatching: () => void;
  #ended: Error | undefined;
  /** The question in progress. */
  #open: { resolve(answer: unknown): void; reject(error: Error): void } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(place: string, { signal, tell }: OpenOptions) {
    this.#place = place;
    this.#tell = tell;
    const { port, worker } = startWorker(place, this.#memory);
    this.#port = port;
    this.#worker = worker;
    port.on('message', (message: EnvMessage) => this.#take(message));
    worker.on('error', (cause) => this.#close(crash(place, thrownText(cause, resolve(place)), cause)));
    worker.on('exit', (code) => this.#close(crash(place, `one that ended with code ${code}`)));
    this.#stopWatching = watchAfter(signal, (abortedAt) => {
      const busyMs = performance.now() - Math.max(abortedAt, this.#orders.givenAt);
      if (this.#isBusy() && this.#ended === undefined && busyMs > graceMs) this.#hang(graceMs, 'the interrupt');
    });
  }

  ask<Kind extends keyof EnvQuestions>(
    kind: Kind,
    body: Parameters<EnvQuestions[Kind]>[0],
  ): Promise<ReturnType<EnvQuestions[Kind]>> {
    const answer = this.#last.then(() => this.#askNow(kind, body));
    this.#last = answer.catch(() => {});
    return answer as Promise<never>;
  }

  order(job: Job, batch: number, episode: number): void {
    this.#orders.give(job, batch, episode);
  }

  isIdle(timeoutMs: number): boolean {
    return this.#orders.waitForDone(timeoutMs, () => this.#ended !== undefined);
  }

  takeFailures(): Error[] {
    for (let next = receiveMessageOnPort(this.#port); next !== undefined; next = receiveMessageOnPort(this.#port)) {
      this.#take(next.message as EnvMessage);
    }
    return this.#ended === undefined ? this.#failures.splice(0) : [this.#ended];
  }

  cut(isCut: boolean): void {
    this.#orders.cut(isCut);
  }

  async settle(): Promise<HangError | undefined> {
    this.#orders.cut(true);
    await this.#untilIdle();
    return this.#ended instanceof HangError ? this.#ended : undefined;
  }

  async end(): Promise<void> {
    // The disposal has a time of its own.
    this.#stopWatching();
    if (this.#ended === undefined) await this.#disposeEnvironments();
    this.#port.close();
    await terminate(this.#worker);
  }

  async #disposeEnvironments(): Promise<void> {
    const waits = new AbortController();
    const inTime = this.ask('dispose', null).then(
      () => true,
      (error: Error) => {
        this.#tell(error.message);
        return true;
      },
    );
    const late = sleep(disposalMs, false, { signal: waits.signal }).catch(() => false);
    if (!(await Promise.race([inTime, late]))) this.#tell(this.#hang(disposalMs, 'the end of the run').message);
    waits.abort();
  }

  async #askNow(kind: keyof EnvQuestions, body: unknown): Promise<unknown> {
    await this.#untilIdle();
    if (this.#ended !== undefined) throw this.#ended;
    this.#port.ref();
    try {
      return await new Promise((answered, reject) => {
        this.#open = { resolve: answered, reject };
        this.#port.postMessage({ kind, body });
        this.#orders.give(jobs.answer, 0, 0);
      });
    } finally {
      this.#open = undefined;
      this.#port.unref();
    }
  }

  #take(message: EnvMessage): void {
    if ('failed' in message) this.#failures.push(failureError('environment thread', message.failed));
    else if ('refusal' in message) this.#open?.reject(failureError('environment thread', message.refusal));
    else this.#open?.resolve(message.answer);
  }

  #close(reason: Error): void {
    this.#ended ??= reason;
    this.#open?.reject(this.#ended);
    this.#open = undefined;
  }

  /** Gives the thread up. */
  #hang(limitMs: number, after: string): HangError {
    const at = readTrail(trailOf(this.#memory));
    const error = new HangError(at === undefined ? this.#place : `${this.#place} ${at}`, limitMs, after);
    this.#close(error);
    void this.#worker.terminate();
    return error;
  }

  #isBusy(): boolean {
    const isDone = this.#ended !== undefined || this.#orders.isDone;
    return !isDone || this.#open !== undefined;
  }

  async #untilIdle(): Promise<void> {
    while (this.#isBusy()) await sleep(1);
  }
}

function startWorker(place: string, control: SharedArrayBuffer): { port: MessagePort; worker: Worker } {
  const { port1, port2 } = new MessageChannel();
  const workerData: EnvThreadData = { place, control, port: port2 };
  const worker = new Worker(workerFile(import.meta.url, 'env-worker'), { workerData, transferList: [port2] });
  worker.unref();
  return { port: port1, worker };
}

/** `terminate` does not end native code, such as a wait for a child process, and a process does not end before its threads. */
async function terminate(worker: Worker): Promise<void> {
  const isEnded = await Promise.race([worker.terminate().then(() => true), sleep(terminationMs, false)]);
  if (isEnded) return;
  worker.unref();
  process.on('exit', () => endProcess('SIGKILL'));
}

/** Calls `check` again and again once the signal is aborted. @returns stops that */
function watchAfter(signal: AbortSignal | undefined, check: (abortedAt: number) => void): () => void {
  let timer: NodeJS.Timeout | undefined;
  const watch = () => {
    const abortedAt = performance.now();
    timer = setInterval(() => check(abortedAt), watchIntervalMs).unref();
  };
  if (signal?.aborted === true) watch();
  else signal?.addEventListener('abort', watch, { once: true });
  return () => {
    signal?.removeEventListener('abort', watch);
    clearInterval(timer);
  };
}

const crash = (place: string, actual: string, cause?: unknown) =>
  failedPrecondition({ where: place, expected: 'a thread that goes on', actual, cause });
