/** An order that a caller gives its workers, takes part in and waits for; it gets their failures. */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { type Claims, controlSlot, waitForItems, workItems } from './claims.ts';
import { describeFailure, failureError, type ThreadFailure } from './thread-failure.ts';
import type { Waiter } from './wait.ts';

/** A worker's `fail` of `workItems`. @param port to the caller, who reads it without a turn of the event loop */
export const failTo =
  (port: MessagePort, { control }: Pick<Claims, 'control'>) =>
  (error: unknown): void => {
    port.postMessage(describeFailure(error));
    Atomics.add(control, controlSlot.failed, 1);
  };

/**
 * The caller's part in an order that it gave: works on items itself, then waits for those of the workers.
 * @param options.ports of the workers, which fail by `failTo`
 * @param options.items and options.worker name these in errors
 * @throws the first failure: the caller's own, or a worker's. Error as `waitForItems`
 */
export function finishOrder(
  claims: Claims,
  {
    order,
    work,
    waiter,
    ports,
    items,
    worker,
  }: {
    readonly order: number;
    readonly work: (item: number) => void;
    readonly waiter: Waiter;
    readonly ports: readonly MessagePort[];
    readonly items: string;
    readonly worker: string;
  },
): void {
  const failures: unknown[] = [];
  workItems(claims, { first: 0, order, work, fail: (error) => failures.push(error) });
  waitForItems(claims, waiter, items);
  if (Atomics.load(claims.control, controlSlot.failed) > 0) {
    for (const port of ports) {
      const message = receiveMessageOnPort(port)?.message as ThreadFailure | undefined;
      if (message !== undefined) failures.push(failureError(worker, message));
    }
  }
  if (failures.length > 0) throw failures[0];
}
