/**
 * Rates of tokens over several processes. Each process counts at once and tells the parent which requests it accepted; the parent tells
 * the others. So no request waits for another process. Requests that are accepted at the same time may exceed the rate together; later
 * ones then wait longer. With N processes a burst may be N times as large; over a longer time the rate holds.
 *
 * Why it stays: if each of N processes had 1/N of the rate, a client with one connection would get only 1/N of its rate: measured, 27 of
 * 90 calls a second with four processes and a rate of 100 (test/bench/NOTES.md).
 */

import type { Rates } from '../access/tokens.ts';

/** Accepted requests by the name of the token. */
export type Spent = Readonly<Record<string, number>>;

export type SpentQueue = { add(spent: Spent): void };

/** Least time between two messages; counts of that time are sent together. */
const everyMs = 5;

/**
 * Sends counts at once. While a message is unanswered, further counts are added up, so at most one number per token waits.
 * @param send if it fails, the counts are lost: the process that they were for has ended
 */
export function createSpentQueue(send: (spent: Spent) => Promise<unknown>): SpentQueue {
  let waiting = new Map<string, number>();
  let isSending = false;

  async function flush(): Promise<void> {
    isSending = true;
    while (waiting.size > 0) {
      const spent = Object.fromEntries(waiting);
      waiting = new Map();
      const pause = new Promise((resolve) => {
        setTimeout(resolve, everyMs).unref();
      });
      await Promise.all([send(spent).catch(() => {}), pause]);
    }
    isSending = false;
  }

  return {
    add(spent) {
      for (const [name, count] of Object.entries(spent)) waiting.set(name, (waiting.get(name) ?? 0) + count);
      if (!isSending) void flush();
    },
  };
}

/** The parent's side. */
export type RateHub = {
  /** From now on the process gets the counts of the others; it begins with the returned `left`. */
  join(process: number, send: (spent: Spent) => Promise<unknown>): { readonly left: Spent };
  leave(process: number): void;
  /** @param process that accepted them; undefined is the parent itself, which has counted them */
  tell(process: number | undefined, spent: Spent): void;
};

/** @param rates as the parent counts them for all processes */
export function createRateHub(rates: Rates): RateHub {
  const queues = new Map<number, SpentQueue>();
  return {
    join(process, send) {
      queues.set(process, createSpentQueue(send));
      return { left: rates.left() };
    },
    leave: (process) => queues.delete(process),
    tell(process, spent) {
      if (process !== undefined) rates.charge(spent);
      for (const [other, queue] of queues) if (other !== process) queue.add(spent);
    },
  };
}
