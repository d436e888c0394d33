/**
 * Measures how long a thread has been in one native call, and how much of that time it waited for a processor. On a busy machine a run may
 * take long although its graph is right.
 */

import { readFileSync } from 'node:fs';

/** What a thread reports about its calls, in shared memory. */
export type CallNotes = {
  /** Counts up before and after each native call: odd during one. */
  readonly count: () => number;
  /** How long it has waited for a processor since it began, milliseconds. */
  readonly waitedMs: () => number;
};

/** Of the present call, in milliseconds; zeros where there is none. */
export type CallTime = {
  /** At most one interval less than the real time. */
  readonly takenMs: number;
  /** The part of `takenMs` in which the thread waited for a processor. */
  readonly waitedMs: number;
};

/** Call the result at fixed intervals. Intervals are counted, not timed, so a pause of the whole process adds nothing. */
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
 * How long a thread of this process has waited for a processor, by the system's id of the thread. Only Linux tells this; elsewhere it is 0,
 * and waiting counts as computing.
 */
export function waitedMsOf(thread: number): number {
  try {
    return Number(readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ')[1]) / 1e6 || 0;
  } catch {
    return 0;
  }
}
