/**
 * Waiting for another thread: first by looking again and again, as waking a sleeper costs tens of microseconds, then asleep. A
 * wait that took too long for looking makes the next one sleep at once: on a busy machine looking only takes the core away
 * from the thread that is waited for.
 */

/** Looks at the clock once in so many looks at the value. */
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
 * One thread's way to wait.
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
