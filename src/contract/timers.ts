/** Timers of any length. Node's own timers fire at once if they are set to more than 2^31 - 1 milliseconds. */

/** The longest time that one timer can wait, milliseconds: 24.8 days. */
export const timerMsMax = 2 ** 31 - 1;

/** At most 24.8 days: a timer that fires too early after days is better than one that fires at once. */
export const timerMs = (ms: number): number => Math.min(ms, timerMsMax);

/**
 * Calls after any time, for ever included, on the clock of `performance.now()`.
 * @param afterMs 0 or less calls at the next turn; Infinity never
 * @returns cancels it
 */
export function callAfter(afterMs: number, action: () => void): () => void {
  if (afterMs === Number.POSITIVE_INFINITY) return () => {};
  const atMs = performance.now() + afterMs;
  let timer: NodeJS.Timeout | undefined;
  const wait = () => {
    const leftMs = atMs - performance.now();
    timer = leftMs > timerMsMax ? setTimeout(wait, timerMsMax) : setTimeout(action, Math.max(0, leftMs));
  };
  wait();
  return () => clearTimeout(timer);
}

/** Timers fire a millisecond or more late. So the last part is waited for in turns of the event loop. */
const timerSlackMs = 1.5;

/**
 * Calls at a time on the clock of `performance.now()`, and less than a millisecond late unless the event loop is busy.
 * @returns cancels it
 */
export function callAt(atMs: number, action: () => void): () => void {
  let turn: NodeJS.Immediate | undefined;
  const waitTurns = () => {
    if (performance.now() >= atMs) action();
    else turn = setImmediate(waitTurns);
  };
  const leftMs = atMs - performance.now() - timerSlackMs;
  const cancel = leftMs > 0 ? callAfter(leftMs, waitTurns) : undefined;
  if (cancel === undefined) waitTurns();
  return () => {
    cancel?.();
    clearImmediate(turn);
  };
}
