/**
 * Rates of tokens over several processes. Each process counts at once and tells the parent what it has let in; the parent tells the
 * others. So no request waits for an answer. What two processes let in before they hear of each other is over the rate, and is paid
 * back later. A burst may therefore be as many times as large as there are processes; over any longer time the rate holds.
 *
 * Why it stays: with an N-th share of the rate for each of N processes, a client with one connection, which one process serves, gets
 * the N-th part of its rate: measured, 25 of 100 calls a second with four processes (test/bench/NOTES.md).
 */

import type { Rates } from '../access/tokens.ts';

/** Requests that were let in, by the name of the token. */
export type Spent = Readonly<Record<string, number>>;

export type SpentQueue = { add(spent: Spent): void };

/** Least time between two messages; what is spent meanwhile is sent together. */
const everyMs = 5;

/**
 * Sends what is added at once. While a message is unanswered, more is collected and then sent as one, so at most one number per token
 * waits.
 * @param send where it fails, the counts are lost with the process that they were for
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

/** The parent's part. */
export type RateHub = {
  /** A process from now on hears what the others let in; it begins with the returned `left`. */
  join(process: number, send: (spent: Spent) => Promise<unknown>): { readonly left: Spent };
  leave(process: number): void;
  /** @param process who let them in; undefined is the parent itself, which has counted them */
  tell(process: number | undefined, spent: Spent): void;
};

/** @param rates as the parent counts them: of all processes */
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
