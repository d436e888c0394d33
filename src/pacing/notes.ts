/** Log lines about events that come with requests and connections: at most one per reason in 10 s, with the count since the last line. */

import type { Logger } from 'pino';

const logEveryMs = 10_000;

export type Note = (reason: string, about: Readonly<Record<string, unknown>>) => void;

/**
 * @param message of every line; its fields include `reason`
 * @param countName names the count
 */
export function createNotes(
  log: Logger,
  message: string,
  countName = 'connectionCount',
  level: 'warn' | 'error' = 'warn',
): Note {
  const notes = new Map<string, { count: number; loggedAtMs: number }>();
  return (reason, about) => {
    const note = notes.get(reason) ?? { count: 0, loggedAtMs: Number.NEGATIVE_INFINITY };
    notes.set(reason, note);
    note.count++;
    const nowMs = performance.now();
    if (nowMs - note.loggedAtMs < logEveryMs) return;
    log[level]({ reason, [countName]: note.count, ...about }, message);
    note.count = 0;
    note.loggedAtMs = nowMs;
  };
}
