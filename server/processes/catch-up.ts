/**
 * Gives the pins that the other processes have to a process that has loaded its models and answers nobody yet. Why it stays:
 * pin-ledger.ts.
 */

import type { Logger } from 'pino';
import type { Link, ToProcess } from './messages.ts';

export type PinAgainOptions = {
  readonly link: Link<ToProcess>;
  /** PrepareRequests that pin. */
  readonly orders: readonly Uint8Array[];
  /** On the clock of `Date.now()`; what is not pinned by then is generated at its first use, and is not pinned. */
  readonly deadlineMs: number;
  readonly log: Logger;
};

/** Sends one order after the other. Never throws: a process without the pins gives the same answers, later; the log says so. */
export async function pinAgain({ link, orders, deadlineMs, log }: PinAgainOptions): Promise<void> {
  let failedCount = 0;
  let reason: string | undefined;
  for (const request of orders) {
    const timeoutMs = Math.max(1, deadlineMs - Date.now());
    await link.ask('prepare', { request, deadlineMs }, timeoutMs).catch((error: Error) => {
      failedCount++;
      reason ??= error.message;
    });
    if (link.closed) return;
  }
  if (orders.length === 0) return;
  if (failedCount === 0) log.info('pinned again what the others have');
  else log.error({ failedCount, orderCount: orders.length, reason }, 'not everything pinned again');
}
