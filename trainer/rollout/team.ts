/**
 * The threads of a vectorised environment: gives them orders through shared memory, takes part itself, and waits for all.
 * Knows nothing of what an order does.
 */

import { once } from 'node:events';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { HyperpolicyError } from '../../src/spec/errors.ts';
import { createShard, type Shard, type ShardOptions } from './shard.ts';
import { controlSlot, type Order, type SharedBatch } from './shared-batch.ts';
import { waitWhile } from './wait.ts';
import type { WorkerData, WorkerFailure } from './worker.ts';
import { workerFile } from './worker-file.ts';

/** A worker that does not answer for this long is taken for dead. */
const answerTimeoutMs = 120_000;

export type Team = {
  /** Starts the workers on an order. */
  order(kind: Order, message?: (worker: number) => unknown): void;
  /** Does the caller's share, then waits for the workers. */
  complete<T>(own: (shard: Shard) => T): T;
  /** One message from each worker. */
  received<T>(): T[];
  dispose(): Promise<void>;
};

/** The caller's shard, thread 0, and one worker for each further thread. */
export async function createTeam(
  batch: SharedBatch,
  {
    threadCount,
    spinMs,
    shardOptions,
  }: { threadCount: number; spinMs: number; shardOptions: (thread: number) => ShardOptions },
): Promise<Team> {
  const { control, sizes, memory } = batch;
  const workers = Array.from({ length: threadCount - 1 }, (_, worker) => {
    const { port1, port2 } = new MessageChannel();
    const workerData: WorkerData = { worker, sizes, memory, shard: shardOptions(worker + 1), spinMs, port: port2 };
    const thread = new Worker(workerFile(import.meta.url, 'worker'), { workerData, transferList: [port2] });
    // Listens from the start, as a worker may be ready before this thread is.
    return { thread, port: port1, ready: firstMessage(thread) };
  });
  const end = async () => {
    for (const { thread, port } of workers) {
      port.close();
      await thread.terminate();
    }
  };
  let shard: Shard;
  try {
    shard = await createShard(batch, shardOptions(0));
    for (const worker of workers) {
      const message = await worker.ready;
      if (message !== 'ready') throw asError(message);
    }
  } catch (error) {
    await end();
    throw error;
  }
  for (const { thread } of workers) thread.unref();
  let number = 0;

  return {
    order(kind, message) {
      if (message !== undefined) {
        workers.forEach(({ port }, i) => {
          port.postMessage(message(i));
        });
      }
      Atomics.store(control, controlSlot.kind, kind);
      number = (number + 1) | 0;
      Atomics.store(control, controlSlot.order, number);
      Atomics.notify(control, controlSlot.order);
    },
    complete(own) {
      const result = own(shard);
      workers.forEach(({ port }, i) => {
        const done = controlSlot.done(i);
        while (Atomics.load(control, done) !== number) {
          const before = (number - 1) | 0;
          if (waitWhile(control, done, before, { spinMs, timeoutMs: answerTimeoutMs }) === before) {
            throw new Error(`rollout worker ${i}: expected an answer within ${answerTimeoutMs} ms, got none`);
          }
        }
        if (Atomics.load(control, controlSlot.failed(i)) === 1) throw asError(receive<WorkerFailure>(port));
      });
      return result;
    },
    received: <T>() => workers.map(({ port }) => receive<T>(port)),
    async dispose() {
      shard.dispose();
      await end();
    },
  };
}

/** The first message of a worker, or its end. */
function firstMessage(thread: Worker): Promise<'ready' | WorkerFailure> {
  const ended = once(thread, 'exit').then(([code]) => ({ message: `ended with code ${code}`, fields: null }));
  const message = once(thread, 'message').then(([value]) => value as 'ready' | WorkerFailure);
  return Promise.race([message, ended]).catch((error) => ({ message: String(error), fields: null }));
}

function receive<T>(port: MessagePort): T {
  const received = receiveMessageOnPort(port);
  if (received === undefined) throw new Error('rollout worker: expected a message, got none');
  return received.message as T;
}

const asError = ({ message, fields }: WorkerFailure): Error =>
  fields === null ? new Error(`rollout worker: ${message}`) : new HyperpolicyError(fields);
