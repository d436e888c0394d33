/**
 * Waits for another thread: first awake, reading the value again and again, then asleep. To wake a sleeping thread takes tens of
 * microseconds. After a wait that had to sleep, the next one sleeps at once: on a busy machine a thread that waits awake takes
 * the core from the thread that it waits for.
 */

/** Readings of the value between two readings of the clock. */
const looksPerCheck = 64;

export type Waiter = {
  /**
   * Waits until `values[index]` is no longer `value`.
   * @param timeoutMs gives up after this long asleep; never unless given
   * @returns the new value; `value` itself after the timeout
   */
  while(values: Int32Array, index: number, value: number, timeoutMs?: number): number;
};

/**
 * A waiter for one thread.
 * @param spinMs longest time awake
 */
export function createWaiter(spinMs: number): Waiter {
  let looks = true;
  return {
    while(values, index, value, timeoutMs = Infinity) {
      const begin = performance.now();
      if (looks) {
        do {
          for (let i = 0; i < looksPerCheck; i++) {
            const current = Atomics.load(values, index);
            if (current !== value) return current;
          }
        } while (performance.now() - begin < spinMs);
      }
      Atomics.wait(values, index, value, timeoutMs);
      looks = performance.now() - begin < spinMs;
      return Atomics.load(values, index);
    },
  };
}
