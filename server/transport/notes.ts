/** Log lines about what a client can cause as often as it likes: at most one of a kind in 10 s, with the count since. */

import type { Logger } from 'pino';

const logEveryMs = 10_000;

export type Note = (reason: string, about: Readonly<Record<string, unknown>>) => void;

/**
 * @param message of every line; `reason` and `connectionCount` are among its fields
 */
export function createNotes(log: Logger, message: string): Note {
  const notes = new Map<string, { count: number; loggedAtMs: number }>();
  return (reason, about) => {
    const note = notes.get(reason) ?? { count: 0, loggedAtMs: Number.NEGATIVE_INFINITY };
    notes.set(reason, note);
    note.count++;
    const nowMs = performance.now();
    if (nowMs - note.loggedAtMs < logEveryMs) return;
    log.warn({ reason, connectionCount: note.count, ...about }, message);
    note.count = 0;
    note.loggedAtMs = nowMs;
  };
}
