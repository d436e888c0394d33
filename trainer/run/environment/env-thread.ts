/** One thread of user code as the main thread sees it: orders, questions, and how long it may take. */

import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { failedPrecondition } from '../../../src/contract/errors.ts';
import { thrownText } from '../../../src/envs/user-code.ts';
import { readTrail } from '../../../src/envs/user-code-trail.ts';
// Before a thread that evaluates policies.
import '../../../src/onnx/no-telemetry.ts';
import { failureError } from '../../rollout/thread-failure.ts';
import { createWaiter } from '../../rollout/wait.ts';
import { workerFile } from '../../rollout/worker-file.ts';
import type { OpenOptions } from './environment.ts';
import { graceMs, HangError } from './hang.ts';
import {
  controlByteCount,
  type EnvMessage,
  type EnvQuestions,
  type EnvThreadData,
  type Job,
  jobs,
  slot,
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
  /** Disposes the environments, for `graceMs` at most, and ends the thread. */
  end(): Promise<void>;
};

const spinMs = 0.2;
const watchIntervalMs = 50;
const terminationMs = 1000;

export function startEnvThread(place: string, { signal, tell }: OpenOptions): EnvThread {
  const memory = new SharedArrayBuffer(controlByteCount);
  const control = new Int32Array(memory);
  const { port, worker } = startWorker(place, memory);
  const waiter = createWaiter(spinMs);
  const failures: Error[] = [];
  let order = 0;
  let busySince = 0;
  let ended: Error | undefined;
  let open: { resolve(answer: unknown): void; reject(error: Error): void } | undefined;
  let last: Promise<unknown> = Promise.resolve();

  function close(reason: Error): void {
    ended ??= reason;
    open?.reject(ended);
    open = undefined;
  }

  const hang = (after: string): HangError => {
    const at = readTrail(trailOf(memory));
    const error = new HangError(at === undefined ? place : `${place} ${at}`, after);
    close(error);
    void worker.terminate();
    return error;
  };

  function take(message: EnvMessage): void {
    if ('failed' in message) failures.push(failureError('environment thread', message.failed));
    else if ('refusal' in message) open?.reject(failureError('environment thread', message.refusal));
    else open?.resolve(message.answer);
  }
  port.on('message', take);
  worker.on('error', (cause) => close(crash(place, thrownText(cause, resolve(place)), cause)));
  worker.on('exit', (code) => close(crash(place, `one that ended with code ${code}`)));

  const isDone = () => ended !== undefined || Atomics.load(control, slot.done) === order;
  const isBusy = () => !isDone() || open !== undefined;
  const stopWatching = watchAfter(signal, (abortedAt) => {
    if (isBusy() && ended === undefined && performance.now() - Math.max(abortedAt, busySince) > graceMs)
      hang('the interrupt');
  });

  function give(job: Job, batch: number, episode: number): void {
    busySince = performance.now();
    order = (order + 1) | 0;
    control[slot.job] = job;
    control[slot.batch] = batch;
    control[slot.episode] = episode;
    Atomics.store(control, slot.order, order);
    Atomics.notify(control, slot.order);
  }

  const untilIdle = async () => {
    while (isBusy()) await sleep(1);
  };

  async function askNow(kind: keyof EnvQuestions, body: unknown): Promise<unknown> {
    await untilIdle();
    if (ended !== undefined) throw ended;
    port.ref();
    try {
      return await new Promise((answered, reject) => {
        open = { resolve: answered, reject };
        port.postMessage({ kind, body });
        give(jobs.answer, 0, 0);
      });
    } finally {
      open = undefined;
      port.unref();
    }
  }

  const ask: EnvThread['ask'] = (kind, body) => {
    const answer = last.then(() => askNow(kind, body));
    last = answer.catch(() => {});
    return answer as Promise<never>;
  };

  return {
    ask,
    order: give,
    isIdle(timeoutMs) {
      const until = performance.now() + timeoutMs;
      while (!isDone()) {
        const remainingMs = until - performance.now();
        if (remainingMs <= 0) return false;
        waiter.while(control, slot.done, (order - 1) | 0, remainingMs);
      }
      return true;
    },
    takeFailures() {
      for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port)) {
        take(next.message as EnvMessage);
      }
      return ended === undefined ? failures.splice(0) : [ended];
    },
    cut(isCut) {
      Atomics.store(control, slot.isCut, Number(isCut));
    },
    async settle() {
      Atomics.store(control, slot.isCut, 1);
      await untilIdle();
      return ended instanceof HangError ? ended : undefined;
    },
    async end() {
      if (ended === undefined) {
        const waits = new AbortController();
        const inTime = ask('dispose', null).then(
          () => true,
          (error: Error) => {
            tell(error.message);
            return true;
          },
        );
        const late = sleep(graceMs, false, { signal: waits.signal }).catch(() => false);
        if (!(await Promise.race([inTime, late]))) tell(hang('the end of the run').message);
        waits.abort();
      }
      stopWatching();
      port.close();
      await terminate(worker);
    },
  };
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
  process.on('exit', () => process.kill(process.pid, 'SIGKILL'));
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
