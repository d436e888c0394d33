/**
 * Computations over items on several threads: each item is one run on one thread, and threads claim items. Inside an operator of a few
 * hundred microseconds two threads gain little; two items side by side take the time of one.
 */

import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { giveOrder } from '../machine/claims.ts';
import { finishOrder } from '../machine/shared-order.ts';
import { createWaiter, type Waiter } from '../machine/wait.ts';
import { workerFile } from '../machine/worker-file.ts';
import { type ItemModels, openItemModels } from './bound.ts';
import type { BoundInput, ComputationDefinition, ItemComputations, ItemFunction, ItemsDefinition } from './engine.ts';
import { type ItemMemory, jobSlot, lastJob, shareItems } from './item-memory.ts';
import type { ItemWorkerData } from './item-worker.ts';
import { checkRun, type ItemLane, type ItemsPlan, openLane, type SteadyPoint } from './items.ts';

export type ItemThreadsOptions = {
  /** The caller's included; never more than items. */
  readonly threadCount: number;
  /** See ItemsPlan. */
  readonly keptBytesMax: number;
  /** A function as ONNX. @param steady names of its steady inputs */
  readonly modelsOf: (
    definition: Pick<ComputationDefinition, 'name' | 'inputs' | 'fn'>,
    steady: readonly string[],
  ) => ItemModels;
};

const spinMs = 0.2;
/** A worker that ends has at most to finish loading. */
const endTimeoutMs = 10_000;

export function itemsOnThreads<Name extends string>(
  definition: ItemsDefinition<Name>,
  { threadCount, keptBytesMax, modelsOf }: ItemThreadsOptions,
): ItemComputations<Name> {
  const { name: group, itemCount, arrays } = definition;
  const functions = Object.entries<ItemsDefinition<Name>['functions'][Name]>(definition.functions);
  const models = Object.fromEntries(
    functions.map(([name, { inputs, steady = [], fn }]) => {
      const empty = (input: string): BoundInput => ({ shape: arrays[input]!.shape, data: new Float32Array(0) });
      const bound = Object.fromEntries(inputs.map((input) => [input, empty(input)]));
      return [name, modelsOf({ name: `${group}-${name}`, inputs: bound, fn }, steady)];
    }),
  );
  const plan: ItemsPlan = {
    name: group,
    itemCount,
    arrays,
    functions: Object.fromEntries(
      functions.map(([name, { fn: _, ...plain }]): [string, ItemFunction] => [name, plain]),
    ),
    threadCount: Math.min(threadCount, itemCount),
    keptBytesMax,
  };
  return new ThreadedItems(plan, models);
}

type ItemWorker = { readonly thread: Worker; readonly port: MessagePort };

class ThreadedItems implements ItemComputations<string> {
  readonly arrays: ItemMemory['arrays'];
  readonly #plan: ItemsPlan;
  readonly #models: ItemWorkerData['models'];
  readonly #memory: ItemMemory;
  readonly #lane: ItemLane;
  readonly #waiter: Waiter = createWaiter(spinMs);
  /** Started by the first run; until a worker is ready, others do its share. */
  #workers: readonly ItemWorker[] = [];
  #order = 0;
  #epoch = 0;

  constructor(plan: ItemsPlan, models: ItemWorkerData['models']) {
    this.#plan = plan;
    this.#models = models;
    this.#memory = shareItems(plan);
    this.arrays = this.#memory.arrays;
    this.#lane = openLane(plan, this.arrays, openItemModels(plan.name, models));
  }

  run(name: string, place = 0): void {
    const { threadCount, functions } = this.#plan;
    checkRun(this.#plan, name, place);
    if (this.#order === 0) this.#workers = Array.from({ length: threadCount - 1 }, (_, i) => this.#start(i + 1));
    const point = { place, epoch: this.#epoch };
    this.#give(Object.keys(functions).indexOf(name), point);
    finishOrder(this.#memory, {
      order: this.#order,
      work: (item) => this.#lane.run(name, item, point),
      waiter: this.#waiter,
      ports: this.#workers.map(({ port }) => port),
      items: `${this.#plan.name}: items`,
      worker: `${this.#plan.name}: worker`,
    });
  }

  renew(): void {
    this.#epoch = (this.#epoch + 1) | 0;
  }

  /** Waits for the workers: one that is ended from outside while it is in the runtime takes the process along. */
  dispose(): void {
    const { job } = this.#memory;
    this.#give(lastJob, { place: 0, epoch: this.#epoch });
    for (let ended = 0; ended < this.#workers.length; ) {
      ended = Atomics.load(job, jobSlot.ended);
      if (ended === this.#workers.length) break;
      if (this.#waiter.while(job, jobSlot.ended, ended, endTimeoutMs) === ended) break;
    }
    for (const { port } of this.#workers) port.close();
    this.#lane.dispose();
  }

  #give(name: number, { place, epoch }: SteadyPoint): void {
    const { job } = this.#memory;
    job[jobSlot.name] = name;
    job[jobSlot.place] = place;
    job[jobSlot.epoch] = epoch;
    this.#order = (this.#order + 1) | 0;
    giveOrder(this.#memory, this.#order);
  }

  #start(place: number): ItemWorker {
    const { port1, port2 } = new MessageChannel();
    const workerData: ItemWorkerData = {
      plan: this.#plan,
      models: this.#models,
      memory: this.#memory.memory,
      first: Math.floor((place * this.#plan.itemCount) / this.#plan.threadCount),
      spinMs,
      port: port2,
    };
    const thread = new Worker(workerFile(import.meta.url, 'item-worker'), { workerData, transferList: [port2] });
    thread.unref();
    return { thread, port: port1 };
  }
}
