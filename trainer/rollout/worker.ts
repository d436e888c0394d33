/** A worker thread of a vectorised environment: waits for a step in shared memory and steps rows until none is left. */

import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { controlSlot, workItems } from '../machine/claims.ts';
import { failTo } from '../machine/shared-order.ts';
import { describeFailure } from '../machine/thread-failure.ts';
import { createWaiter } from '../machine/wait.ts';
import { openRows, type RowOptions, type Rows } from './rows.ts';
import { type BatchSizes, shareBatch } from './shared-batch.ts';

export type WorkerData = {
  readonly sizes: BatchSizes;
  readonly memory: SharedArrayBuffer;
  readonly rows: RowOptions;
  /** The row that this thread claims first. */
  readonly first: number;
  readonly spinMs: number;
  /** To the caller, who reads it after a failure without a turn of the event loop. */
  readonly port: MessagePort;
};

async function main({ sizes, memory, rows: options, first, spinMs, port }: WorkerData): Promise<void> {
  const batch = shareBatch(sizes, memory);
  const { control } = batch;
  let rows: Rows;
  try {
    rows = await openRows(batch, options);
  } catch (error) {
    parentPort!.postMessage(describeFailure(error));
    return;
  }
  parentPort!.postMessage('ready');
  const fail = failTo(port, batch);
  const waiter = createWaiter(spinMs);
  for (let order = 0; ; ) {
    order = waiter.while(control, controlSlot.order, order);
    workItems(batch, { first, order, work: (row) => rows.step(row), fail });
  }
}

await main(workerData as WorkerData);
