/**
 * The calling thread's priority, lowered for a while. The scheduler gives a thread that has computed for long its whole slice, some
 * milliseconds, before one that wakes for a request on the same core; one of low priority yields at once.
 */

import { readlinkSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';

/** About a tenth of a core where another thread wants it, all of it where none does: what waits for the work waits not for ever. */
const lowered = constants.priority.PRIORITY_BELOW_NORMAL;

/**
 * Runs `work` at low priority where the system has priorities by thread (Linux) and lets this process raise them again (CAP_SYS_NICE
 * or a limit `nice`), else as it is.
 */
export function atLowPriority<T>(work: () => T): T {
  threadId ??= ownThread();
  if (threadId === 'none') return work();
  const normal = getPriority(threadId);
  if (normal >= lowered) return work();
  setPriority(threadId, lowered);
  try {
    return work();
  } finally {
    setPriority(threadId, normal);
  }
}

/** The system's id of the calling thread; every thread has its own copy of this module. */
let threadId: number | 'none' | undefined;

function ownThread(): number | 'none' {
  if (process.platform !== 'linux') return 'none';
  try {
    const id = Number(readlinkSync('/proc/thread-self').split('/').at(-1));
    const normal = getPriority(id);
    // Whether the way back is open is found out with the smallest step: where it is not, that is all that stays.
    setPriority(id, Math.min(normal + 1, constants.priority.PRIORITY_LOW));
    setPriority(id, normal);
    return id;
  } catch {
    return 'none';
  }
}
