/**
 * The threads of a vectorised environment. The caller starts them on a step through shared memory, steps rows too, and waits
 * until every row is done.
 */

import { once } from 'node:events';
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads';
import type { Env } from '../../src/envs/env.ts';
import { openRows, type RestoredRow, type RowOptions, type RowState, type Rows, workRows } from './rows.ts';
import { controlSlot, type SharedBatch } from './shared-batch.ts';
import { failureError, type ThreadFailure } from './thread-failure.ts';
import { createWaiter } from './wait.ts';
import type { WorkerData } from './worker.ts';
import { workerFile } from './worker-file.ts';

/** A worker that takes longer for one row counts as dead. */
const answerTimeoutMs = 120_000;

/** Does one thing after the other: `begin` and `finish`, or `reset`, `save` or `restore`. */
export type Team = {
  /** Starts the next episode of every row, or the one with that number; `finish` waits for it. */
  reset(episode: number | undefined): void;
  /** Starts the workers on a step of all rows. */
  begin(): void;
  /** Waits at most `timeoutMs`. @returns whether `finish` need not wait for user code */
  isReady(timeoutMs: number): boolean;
  /** Takes part, then waits until all rows are done. @throws the error of a row that failed */
  finish(): void;
  /** Copies of all rows' states, in order. */
  save(): Promise<RowState[]>;
  restore(states: readonly RestoredRow[]): Promise<void>;
  /** Ends the threads. */
  dispose(): Promise<void>;
};

/** Threads that run an environment which is never to run in the caller's own: that of a user's file. */
export type EnvironmentThreads = Pick<Env, 'name' | 'specs' | 'episodeStepCountMax'> & {
  /** Numbers of a row's state. */
  stateSize(): Promise<number>;
  /** Has `threadCount` of them step the rows of a batch; the caller steps none. */
  join(
    batch: SharedBatch,
    options: Pick<RowOptions, 'seed' | 'givenContexts'> & { readonly threadCount: number },
  ): Promise<Team>;
};

/** The caller, and one worker for each further thread. */
export async function createTeam(
  batch: SharedBatch,
  {
    threadCount,
    spinMs,
    options,
  }: { readonly threadCount: number; readonly spinMs: number; readonly options: RowOptions },
): Promise<Team> {
  const { control, sizes, memory } = batch;
  const { environmentCount } = sizes;
  const workers = Array.from({ length: threadCount - 1 }, (_, worker) => {
    const { port1, port2 } = new MessageChannel();
    const first = Math.floor(((worker + 1) * environmentCount) / threadCount);
    const workerData: WorkerData = { sizes, memory, rows: options, first, spinMs, port: port2 };
    const thread = new Worker(workerFile(import.meta.url, 'worker'), { workerData, transferList: [port2] });
    // Listen now: a worker may be ready before this thread is.
    return { thread, port: port1, ready: firstMessage(thread) };
  });
  const end = async () => {
    for (const { thread, port } of workers) {
      port.close();
      await thread.terminate();
    }
  };
  let rows: Rows;
  try {
    rows = await openRows(batch, options);
    for (const worker of workers) {
      const message = await worker.ready;
      if (message !== 'ready') throw failureError('rollout worker', message);
    }
  } catch (error) {
    await end();
    throw error;
  }
  for (const { thread } of workers) thread.unref();
  const waiter = createWaiter(spinMs);
  const everyRow = Array.from({ length: environmentCount }, (_, row) => row);
  let order = 0;
  let isStepping = false;

  return {
    reset(episode) {
      for (const row of everyRow) rows.begin(row, episode);
    },
    isReady: () => true,
    save: async () => everyRow.map(rows.save),
    async restore(states) {
      for (const row of everyRow) rows.restore(row, states[row]!);
    },
    begin() {
      isStepping = true;
      Atomics.store(control, controlSlot.done, 0);
      order = (order + 1) | 0;
      Atomics.store(control, controlSlot.order, order);
      Atomics.notify(control, controlSlot.order);
    },
    finish() {
      if (!isStepping) return;
      isStepping = false;
      const failures: unknown[] = [];
      workRows(batch, { first: 0, order, work: rows.step, fail: (error) => failures.push(error) });
      for (let done = 0; done < environmentCount; ) {
        done = Atomics.load(control, controlSlot.done);
        if (done === environmentCount) break;
        if (waiter.while(control, controlSlot.done, done, answerTimeoutMs) === done) {
          throw new Error(`rollout: expected ${environmentCount} rows within ${answerTimeoutMs} ms, got ${done}`);
        }
      }
      if (Atomics.load(control, controlSlot.failed) > 0) {
        const messages = workers.map(({ port }) => receiveMessageOnPort(port)?.message as ThreadFailure | undefined);
        failures.push(
          ...messages
            .filter((message) => message !== undefined)
            .map((message) => failureError('rollout worker', message)),
        );
      }
      if (failures.length > 0) throw failures[0];
    },
    async dispose() {
      rows.dispose();
      await end();
    },
  };
}

/** The first message of a worker, or its end. */
function firstMessage(thread: Worker): Promise<'ready' | ThreadFailure> {
  const ended = once(thread, 'exit').then(([code]) => ({ message: `ended with code ${code}`, fields: null }));
  const message = once(thread, 'message').then(([value]) => value as 'ready' | ThreadFailure);
  return Promise.race([message, ended]).catch((error) => ({ message: String(error), fields: null }));
}
