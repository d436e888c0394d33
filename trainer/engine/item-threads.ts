/**
 * Computations over items on several threads: each item is one run on one thread, and threads claim items. Inside an operator of a few
 * hundred microseconds two threads gain little; two items side by side take the time of one.
 */

import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { controlSlot, giveOrder, waitForItems, workItems } from '../rollout/claims.ts';
import { failureError, type ThreadFailure } from '../rollout/thread-failure.ts';
import { createWaiter, type Waiter } from '../rollout/wait.ts';
import { workerFile } from '../rollout/worker-file.ts';
import { openModels } from './bound.ts';
import type { BoundInput, ComputationDefinition, ItemComputations, ItemsDefinition } from './engine.ts';
import { type ItemMemory, jobSlot, lastJob, shareItems } from './item-memory.ts';
import type { ItemWorkerData } from './item-worker.ts';
import { type ItemLane, type ItemsPlan, openLane } from './items.ts';

export type ItemThreadsOptions = {
  /** The caller's included; never more than items. */
  readonly threadCount: number;
  /** A function as ONNX. */
  readonly modelOf: (definition: Pick<ComputationDefinition, 'name' | 'inputs' | 'fn'>) => Uint8Array;
};

const spinMs = 0.2;
/** A worker that ends has at most to finish loading. */
const endTimeoutMs = 10_000;

export function itemsOnThreads<Name extends string>(
  definition: ItemsDefinition<Name>,
  { threadCount, modelOf }: ItemThreadsOptions,
): ItemComputations<Name> {
  const { name: group, itemCount, arrays } = definition;
  const functions = Object.entries<ItemsDefinition<Name>['functions'][Name]>(definition.functions);
  const models = Object.fromEntries(
    functions.map(([name, { inputs, fn }]) => {
      const empty = (input: string): BoundInput => ({ shape: arrays[input]!.shape, data: new Float32Array(0) });
      const bound = Object.fromEntries(inputs.map((input) => [input, empty(input)]));
      return [name, modelOf({ name: `${group}-${name}`, inputs: bound, fn })];
    }),
  );
  const plan: ItemsPlan = {
    name: group,
    itemCount,
    arrays,
    functions: Object.fromEntries(functions.map(([name, { inputs, outputs }]) => [name, { inputs, outputs }])),
  };
  return new ThreadedItems(plan, models, Math.min(threadCount, itemCount));
}

type ItemWorker = { readonly thread: Worker; readonly port: MessagePort };

class ThreadedItems implements ItemComputations<string> {
  readonly arrays: ItemMemory['arrays'];
  readonly #plan: ItemsPlan;
  readonly #models: Readonly<Record<string, Uint8Array>>;
  readonly #memory: ItemMemory;
  readonly #lane: ItemLane;
  readonly #threadCount: number;
  readonly #waiter: Waiter = createWaiter(spinMs);
  /** Started by the first run; until a worker is ready, others do its share. */
  #workers: readonly ItemWorker[] = [];
  #order = 0;

  constructor(plan: ItemsPlan, models: Readonly<Record<string, Uint8Array>>, threadCount: number) {
    this.#plan = plan;
    this.#models = models;
    this.#memory = shareItems(plan);
    this.arrays = this.#memory.arrays;
    this.#lane = openLane(plan, this.arrays, openModels(plan.name, models));
    this.#threadCount = threadCount;
  }

  run(name: string): void {
    if (this.#order === 0) this.#workers = Array.from({ length: this.#threadCount - 1 }, (_, i) => this.#start(i + 1));
    this.#give(Object.keys(this.#plan.functions).indexOf(name));
    const failures: unknown[] = [];
    workItems(this.#memory, {
      first: 0,
      order: this.#order,
      work: (item) => this.#lane.run(name, item),
      fail: (error) => failures.push(error),
    });
    waitForItems(this.#memory, this.#waiter, `${this.#plan.name}: items`);
    if (Atomics.load(this.#memory.control, controlSlot.failed) > 0) failures.push(...this.#workerFailures());
    if (failures.length > 0) throw failures[0];
  }

  /** Waits for the workers: one that is ended from outside while it is in the runtime takes the process along. */
  dispose(): void {
    const { job } = this.#memory;
    this.#give(lastJob);
    for (let ended = 0; ended < this.#workers.length; ) {
      ended = Atomics.load(job, jobSlot.ended);
      if (ended === this.#workers.length) break;
      if (this.#waiter.while(job, jobSlot.ended, ended, endTimeoutMs) === ended) break;
    }
    for (const { port } of this.#workers) port.close();
    this.#lane.dispose();
  }

  #give(job: number): void {
    this.#memory.job[jobSlot.name] = job;
    this.#order = (this.#order + 1) | 0;
    giveOrder(this.#memory, this.#order);
  }

  #start(place: number): ItemWorker {
    const { port1, port2 } = new MessageChannel();
    const workerData: ItemWorkerData = {
      plan: this.#plan,
      models: this.#models,
      memory: this.#memory.memory,
      first: Math.floor((place * this.#plan.itemCount) / this.#threadCount),
      spinMs,
      port: port2,
    };
    const thread = new Worker(workerFile(import.meta.url, 'item-worker'), { workerData, transferList: [port2] });
    thread.unref();
    return { thread, port: port1 };
  }

  #workerFailures(): Error[] {
    return this.#workers.flatMap(({ port }) => {
      const message = receiveMessageOnPort(port)?.message as ThreadFailure | undefined;
      return message === undefined ? [] : [failureError(`${this.#plan.name}: worker`, message)];
    });
  }
}
