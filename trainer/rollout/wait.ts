/** Waiting for another thread: first by looking again and again, as waking a sleeper costs tens of microseconds, then asleep. */

/** Looks at the clock once in so many looks at the value. */
const looksPerCheck = 64;

export type WaitOptions = {
  /** Time awake before it sleeps. */
  readonly spinMs: number;
  /** Gives up after this long asleep; never unless given. */
  readonly timeoutMs?: number;
};

/**
 * Waits until `values[index]` is no longer `value`.
 * @returns the new value; `value` itself after the timeout
 */
export function waitWhile(
  values: Int32Array,
  index: number,
  value: number,
  { spinMs, timeoutMs = Infinity }: WaitOptions,
): number {
  const until = performance.now() + spinMs;
  do {
    for (let i = 0; i < looksPerCheck; i++) {
      const current = Atomics.load(values, index);
      if (current !== value) return current;
    }
  } while (performance.now() < until);
  Atomics.wait(values, index, value, timeoutMs);
  return Atomics.load(values, index);
}
