/**
 * The threads of a vectorised environment. The caller starts them on a step through shared memory, steps rows too, and waits
 * until every row is done.
 */

import { once } from 'node:events';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import type { Env } from '../../src/envs/env.ts';
import { giveOrder } from '../machine/claims.ts';
import { finishOrder } from '../machine/shared-order.ts';
import { failureError, type ThreadFailure } from '../machine/thread-failure.ts';
import { createWaiter, type Waiter } from '../machine/wait.ts';
import { workerFile } from '../machine/worker-file.ts';
import { openRows, type RestoredRow, type RowOptions, type RowState, type Rows } from './rows.ts';
import type { SharedBatch } from './shared-batch.ts';
import type { WorkerData } from './worker.ts';

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

/** The caller, and one worker for each further thread. @throws what an environment throws as it is created */
export async function createTeam(
  batch: SharedBatch,
  {
    threadCount,
    spinMs,
    options,
  }: { readonly threadCount: number; readonly spinMs: number; readonly options: RowOptions },
): Promise<Team> {
  const { environmentCount } = batch.sizes;
  const workers = Array.from({ length: threadCount - 1 }, (_, worker) => {
    const first = Math.floor(((worker + 1) * environmentCount) / threadCount);
    return startWorker(batch, { rows: options, first, spinMs });
  });
  try {
    const rows = await openRows(batch, options);
    for (const worker of workers) {
      const message = await worker.ready;
      if (message !== 'ready') throw failureError('rollout worker', message);
    }
    for (const { thread } of workers) thread.unref();
    return new WorkerTeam(batch, { rows, workers, spinMs });
  } catch (error) {
    await endWorkers(workers);
    throw error;
  }
}

type RolloutWorker = {
  readonly thread: Worker;
  readonly port: MessagePort;
  readonly ready: Promise<'ready' | ThreadFailure>;
};

function startWorker(
  { sizes, memory }: SharedBatch,
  options: Pick<WorkerData, 'rows' | 'first' | 'spinMs'>,
): RolloutWorker {
  const { port1, port2 } = new MessageChannel();
  const workerData: WorkerData = { sizes, memory, ...options, port: port2 };
  const thread = new Worker(workerFile(import.meta.url, 'worker'), { workerData, transferList: [port2] });
  // Listen now: a worker may be ready before this thread is.
  return { thread, port: port1, ready: firstMessage(thread) };
}

async function endWorkers(workers: readonly RolloutWorker[]): Promise<void> {
  for (const { thread, port } of workers) {
    port.close();
    await thread.terminate();
  }
}

class WorkerTeam implements Team {
  readonly #batch: SharedBatch;
  readonly #rows: Rows;
  readonly #workers: readonly RolloutWorker[];
  readonly #waiter: Waiter;
  #order = 0;
  #isStepping = false;

  constructor(
    batch: SharedBatch,
    {
      rows,
      workers,
      spinMs,
    }: { readonly rows: Rows; readonly workers: readonly RolloutWorker[]; readonly spinMs: number },
  ) {
    this.#batch = batch;
    this.#rows = rows;
    this.#workers = workers;
    this.#waiter = createWaiter(spinMs);
  }

  reset(episode: number | undefined): void {
    for (const row of this.#everyRow()) this.#rows.begin(row, episode);
  }

  begin(): void {
    this.#isStepping = true;
    this.#order = (this.#order + 1) | 0;
    giveOrder(this.#batch, this.#order);
  }

  isReady(): boolean {
    return true;
  }

  finish(): void {
    if (!this.#isStepping) return;
    this.#isStepping = false;
    finishOrder(this.#batch, {
      order: this.#order,
      work: (row) => this.#rows.step(row),
      waiter: this.#waiter,
      ports: this.#workers.map(({ port }) => port),
      items: 'rollout: rows',
      worker: 'rollout worker',
    });
  }

  async save(): Promise<RowState[]> {
    return this.#everyRow().map((row) => this.#rows.save(row));
  }

  async restore(states: readonly RestoredRow[]): Promise<void> {
    for (const row of this.#everyRow()) this.#rows.restore(row, states[row]!);
  }

  async dispose(): Promise<void> {
    this.#rows.dispose();
    await endWorkers(this.#workers);
  }

  #everyRow(): number[] {
    return Array.from({ length: this.#batch.sizes.environmentCount }, (_, row) => row);
  }
}

/** The first message of a worker, or its end. */
function firstMessage(thread: Worker): Promise<'ready' | ThreadFailure> {
  const ended = once(thread, 'exit').then(([code]) => ({ message: `ended with code ${code}`, fields: null }));
  const message = once(thread, 'message').then(([value]) => value as 'ready' | ThreadFailure);
  return Promise.race([message, ended]).catch((error) => ({ message: String(error), fields: null }));
}
