/**
 * The calling thread's priority, lowered for a while. The scheduler lets a busy thread finish its time slice, some milliseconds, before a
 * thread that wakes for a request on the same core. A thread of low priority yields at once. Linux only: elsewhere, and where the system
 * does not let a process raise what it lowered (CAP_SYS_NICE, or a limit `nice`), nothing is changed.
 */

import { readdirSync, readlinkSync } from 'node:fs';
import { constants, getPriority, setPriority } from 'node:os';

/** About a tenth of a core where another thread wants it, all of it where none does. */
const lowered = constants.priority.PRIORITY_BELOW_NORMAL;

/** Runs `work` at low priority. Threads that it starts, as the runtime does for a graph, have it no longer than that. */
export function atLowPriority<T>(work: () => T): T {
  const id = systemThreadId();
  if (id === 0) return work();
  const normal = getPriority(id);
  if (normal >= lowered) return work();
  const present = new Set(threadIds());
  setPriority(id, lowered);
  try {
    return work();
  } finally {
    setPriority(id, normal);
    // A thread begins with the priority of who starts it.
    for (const started of threadIds()) if (!present.has(started)) raisePriority(started, normal);
  }
}

/** The system's ids of this process's threads. */
const threadIds = (): number[] => readdirSync('/proc/self/task').map(Number);

/**
 * Restores the priority of another thread of this process, because somebody waits for it.
 * @param id of `systemThreadId`
 * @param normal the main thread's, whose id is the process's, unless given
 */
export function raisePriority(id: number, normal = getPriority(process.pid)): void {
  setPriorityOf(id, normal);
}

/** Sets the lowest priority for another thread of this process, whose work nobody wants any more. */
export function neglect(id: number): void {
  setPriorityOf(id, constants.priority.PRIORITY_LOW);
}

function setPriorityOf(id: number, priority: number): void {
  if (id === 0) return;
  try {
    setPriority(id, priority);
  } catch {
    // The thread has just ended.
  }
}

/** The system's id of the calling thread; 0 where it has none: Linux only. */
export function threadId(): number {
  if (process.platform !== 'linux') return 0;
  try {
    return Number(readlinkSync('/proc/thread-self').split('/').at(-1));
  } catch {
    return 0;
  }
}

/** The same; 0 where its priority cannot be lowered and raised again. */
export function systemThreadId(): number {
  known ??= findThreadId();
  return known;
}

/** Every thread has its own copy of this module. */
let known: number | undefined;

function findThreadId(): number {
  const id = threadId();
  if (id === 0) return 0;
  try {
    const normal = getPriority(id);
    // The smallest step shows whether the priority can be raised again. If it cannot, only this step remains.
    setPriority(id, Math.min(normal + 1, constants.priority.PRIORITY_LOW));
    setPriority(id, normal);
    return id;
  } catch {
    return 0;
  }
}
