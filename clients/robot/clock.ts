/** Time as the controller sees it, so that tests bring their own. */

import { callAfter } from '../../src/contract/timers.ts';

export type Clock = {
  /** Monotonic, milliseconds. */
  nowMs(): number;
  /** Resolves at that time or a little later. */
  sleepUntil(atMs: number): Promise<void>;
  /** Calls once, about then. Returns what takes it back. */
  callAt(atMs: number, action: () => void): () => void;
};

/** Timers of Node count whole milliseconds and come late by about one. */
const timerLateMs = 1.6;

/**
 * Node's clock. It sleeps by a timer up to the last 1.6 ms, and then lets the event loop turn until it is time: answers are still read
 * meanwhile, and a core is busy for that long.
 */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  async sleepUntil(atMs) {
    const timerMs = atMs - performance.now() - timerLateMs;
    if (timerMs >= 1) await new Promise<void>((resolve) => callAfter(timerMs, resolve));
    while (performance.now() < atMs) await new Promise<void>((resolve) => setImmediate(resolve));
  },
  callAt: (atMs, action) => callAfter(atMs - performance.now(), action),
};
