/** A worker thread of item computations: waits for orders in shared memory and runs items until none is left. */

import { type MessagePort, workerData } from 'node:worker_threads';
import { controlSlot, workItems } from '../machine/claims.ts';
import { failTo } from '../machine/shared-order.ts';
import { createWaiter } from '../machine/wait.ts';
import { type ItemModels, openItemModels } from './bound.ts';
import { jobSlot, lastJob, shareItems } from './item-memory.ts';
import { type ItemsPlan, openLane } from './items.ts';

export type ItemWorkerData = {
  readonly plan: ItemsPlan;
  /** The functions by name. */
  readonly models: Readonly<Record<string, ItemModels>>;
  readonly memory: SharedArrayBuffer;
  /** The item that this thread claims first. */
  readonly first: number;
  readonly spinMs: number;
  /** To the caller, who reads it after a failure without a turn of the event loop. */
  readonly port: MessagePort;
};

function serve({ plan, models, memory: buffer, first, spinMs, port }: ItemWorkerData): void {
  const memory = shareItems(plan, buffer);
  const { control, job } = memory;
  const fail = failTo(port, memory);
  try {
    const lane = openLane(plan, memory.arrays, openItemModels(plan.name, models));
    const names = Object.keys(plan.functions);
    const waiter = createWaiter(spinMs);
    for (let order = 0; ; ) {
      order = waiter.while(control, controlSlot.order, order);
      if (job[jobSlot.name] === lastJob) break;
      const name = names[job[jobSlot.name]!]!;
      const point = { place: job[jobSlot.place]!, epoch: job[jobSlot.epoch]! };
      workItems(memory, { first, order, work: (item) => lane.run(name, item, point), fail });
    }
    lane.dispose();
  } catch (error) {
    fail(error);
  }
  Atomics.add(job, jobSlot.ended, 1);
  Atomics.notify(job, jobSlot.ended);
  port.close();
}

serve(workerData as ItemWorkerData);
