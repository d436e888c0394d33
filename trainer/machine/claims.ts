/**
 * Items that threads work on together: the caller gives an order through shared memory, each thread claims items one by one, and so
 * none waits while there is work.
 */

import type { Waiter } from './wait.ts';

/** Places in `control`, a cache line apart, as one thread writes while others read. */
export const controlSlot = {
  /** Number of the current order; threads sleep on it. */
  order: 0,
  /** Items that are done with the current order; the caller sleeps on it. */
  done: 16,
  /** Workers that failed and have sent their failure as a message. */
  failed: 32,
} as const;

export const controlSize = 48;

/** Views over shared memory. */
export type Claims = {
  /** See `controlSlot`. */
  readonly control: Int32Array;
  /** Per item the number of the last order that a thread took it for. */
  readonly claims: Int32Array;
};

/** Starts an order: threads that sleep on it wake. */
export function giveOrder({ control }: Pick<Claims, 'control'>, order: number): void {
  Atomics.store(control, controlSlot.done, 0);
  Atomics.store(control, controlSlot.order, order);
  Atomics.notify(control, controlSlot.order);
}

/**
 * Claims items and works on them until none is left. It begins with this thread's own share.
 * @param order number of the order; an item is claimed for it once
 * @param fail is called for an item whose work threw. The item counts as done, so that no thread waits for it
 */
export function workItems(
  { control, claims }: Claims,
  {
    first,
    order,
    work,
    fail,
  }: {
    readonly first: number;
    readonly order: number;
    readonly work: (item: number) => void;
    readonly fail: (error: unknown) => void;
  },
): void {
  const itemCount = claims.length;
  const before = (order - 1) | 0;
  for (let i = 0; i < itemCount; i++) {
    const item = (first + i) % itemCount;
    if (Atomics.compareExchange(claims, item, before, order) !== before) continue;
    try {
      work(item);
    } catch (error) {
      fail(error);
    }
    if (Atomics.add(control, controlSlot.done, 1) === itemCount - 1) Atomics.notify(control, controlSlot.done);
  }
}

/**
 * Waits until all items of an order are done.
 * @param what names the threads in the error
 * @throws Error if one takes longer than two minutes
 */
export function waitForItems({ control, claims }: Claims, waiter: Pick<Waiter, 'while'>, what: string): void {
  for (let done = 0; done < claims.length; ) {
    done = Atomics.load(control, controlSlot.done);
    if (done === claims.length) break;
    if (waiter.while(control, controlSlot.done, done, answerTimeoutMs) === done) {
      throw new Error(`${what}: expected ${claims.length} within ${answerTimeoutMs} ms, got ${done}`);
    }
  }
}

/** A worker that takes longer for one item counts as dead. */
const answerTimeoutMs = 120_000;
