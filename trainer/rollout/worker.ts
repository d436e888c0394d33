/** A worker thread of a vectorised environment: waits for orders in shared memory and carries them out on its shard. */

import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { HyperpolicyError } from '../../src/spec/errors.ts';
import { createShard, type RowState, type Shard, type ShardOptions } from './shard.ts';
import { type BatchSizes, controlSlot, orders, shareBatch } from './shared-batch.ts';
import { waitWhile } from './wait.ts';

export type WorkerData = {
  readonly worker: number;
  readonly sizes: BatchSizes;
  readonly memory: SharedArrayBuffer;
  readonly shard: ShardOptions;
  readonly spinMs: number;
  /** To and from the caller, who never listens but looks after an answer, without a turn of the event loop. */
  readonly port: MessagePort;
};

/** A failure as plain data; the caller makes an error of it again. */
export type WorkerFailure = {
  readonly message: string;
  readonly fields: Pick<HyperpolicyError, 'kind' | 'where' | 'expected' | 'actual' | 'remedy'> | null;
};

export const describeFailure = (error: unknown): WorkerFailure => {
  if (!(error instanceof HyperpolicyError)) return { message: String((error as Error)?.stack ?? error), fields: null };
  const { message, kind, where, expected, actual, remedy } = error;
  return { message, fields: { kind, where, expected, actual, remedy } };
};

async function main({ worker, sizes, memory, shard: options, spinMs, port }: WorkerData): Promise<void> {
  const batch = shareBatch(sizes, memory);
  const { control } = batch;
  let shard: Shard;
  try {
    shard = await createShard(batch, options);
  } catch (error) {
    parentPort!.postMessage(describeFailure(error));
    return;
  }
  parentPort!.postMessage('ready');
  for (let done = 0; ; ) {
    const order = waitWhile(control, controlSlot.order, done, { spinMs });
    const kind = Atomics.load(control, controlSlot.kind);
    try {
      if (kind === orders.step) shard.step();
      else if (kind === orders.reset) shard.reset();
      else if (kind === orders.save) port.postMessage(shard.save());
      else if (kind === orders.restore) shard.restore(receiveMessageOnPort(port)!.message as RowState[]);
    } catch (error) {
      port.postMessage(describeFailure(error));
      Atomics.store(control, controlSlot.failed(worker), 1);
    }
    done = order;
    Atomics.store(control, controlSlot.done(worker), order);
    Atomics.notify(control, controlSlot.done(worker));
  }
}

await main(workerData as WorkerData);
