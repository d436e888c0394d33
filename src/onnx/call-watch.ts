/**
 * Tells how long a thread has been in one native call, by looking at it now and then, and for how much of that it waited for a processor:
 * on a busy machine a run may take long and be no fault of its graph.
 */

import { readFileSync } from 'node:fs';

/** What a thread says of itself, in memory shared with who watches it. */
export type CallNotes = {
  /** Counts up before and after each native call: odd during one. */
  readonly count: () => number;
  /** How long it has waited for a processor since it began, milliseconds. */
  readonly waitedMs: () => number;
};

/** Of the present call, in milliseconds; zeros where there is none. */
export type CallTime = {
  /** Up to one interval too few. */
  readonly takenMs: number;
  /** Of these. */
  readonly waitedMs: number;
};

/** To be called at fixed intervals. They are counted, not timed: while this process itself stands still, no time passes. */
export function watchCalls({ count, waitedMs }: CallNotes): (intervalMs: number) => CallTime {
  let seen = 0;
  let waitedBeforeMs = 0;
  let takenMs = 0;
  return (intervalMs) => {
    const now = count();
    const isSame = now === seen;
    seen = now;
    if (now % 2 === 0) return none;
    if (!isSame) {
      takenMs = 0;
      waitedBeforeMs = waitedMs();
      return none;
    }
    takenMs += intervalMs;
    return { takenMs, waitedMs: Math.min(takenMs, waitedMs() - waitedBeforeMs) };
  };
}

const none: CallTime = { takenMs: 0, waitedMs: 0 };

/**
 * How long a thread of this process has waited for a processor, by the system's id of it; 0 where the system does not tell, as only Linux
 * does: waiting then counts as computing.
 */
export function waitedMsOf(thread: number): number {
  try {
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ')[1]) / 1e6 || 0;
  } catch {
    return 0;
  }
}
