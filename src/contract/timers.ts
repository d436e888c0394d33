/** Waiting for times of any length. Node's timers count to 2^31 - 1 milliseconds; what is longer fires at once there. */

/** The longest time that one timer can wait, milliseconds: 24.8 days. */
export const timerMsMax = 2 ** 31 - 1;

/** For a timer that is better late by less than it should be than at once: 24.8 days where `ms` is more. */
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
