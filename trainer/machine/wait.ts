/**
 * Waits for another thread: first awake, reading the value again and again, then asleep. To wake a sleeping thread takes tens of
 * microseconds. After a wait that had to sleep, the next one sleeps at once: on a busy machine a thread that waits awake takes the core
 * from the thread that it waits for.
 *
 * A wake may come late, for a change that this thread saw while it was awake. So a wake without a change does not end a wait.
 */

/** Readings of the value between two readings of the clock. */
const looksPerCheck = 64;

/** The longest sleep of a wait that has a timeout. */
const sliceMs = 1000;

export type Waiter = {
  /**
   * Waits until `values[index]` is no longer `value`.
   * @param timeoutMs gives up after this long asleep; never unless given. A pause of the whole process, in which no thread goes on, adds
   *   a second at most
   * @returns the new value; `value` itself after the timeout
   */
  while(values: Int32Array, index: number, value: number, timeoutMs?: number): number;
  /** The same without a timeout, with a free event loop while it sleeps. */
  whileInTurns(values: Int32Array, index: number, value: number): Promise<number>;
};

/**
 * A waiter for one thread.
 * @param spinMs longest time awake
 */
export function createWaiter(spinMs: number): Waiter {
  let looks = true;
  /** @returns whether the value changed in the time awake */
  const look = (begin: number, values: Int32Array, index: number, value: number): boolean => {
    if (!looks) return false;
    do {
      for (let i = 0; i < looksPerCheck; i++) {
        if (Atomics.load(values, index) !== value) return true;
      }
    } while (performance.now() - begin < spinMs);
    return false;
  };
  return {
    async whileInTurns(values, index, value) {
      const begin = performance.now();
      if (!look(begin, values, index, value)) {
        while (Atomics.load(values, index) === value) await Atomics.waitAsync(values, index, value).value;
        looks = performance.now() - begin < spinMs;
      }
      return Atomics.load(values, index);
    },
    while(values, index, value, timeoutMs = Infinity) {
      const begin = performance.now();
      if (!look(begin, values, index, value)) {
        for (let left = timeoutMs; left > 0 && Atomics.load(values, index) === value; ) {
          left -= sleep(values, index, value, left);
        }
        looks = performance.now() - begin < spinMs;
      }
      return Atomics.load(values, index);
    },
  };
}

/** Sleeps for a part of the time that is left. @returns how long, milliseconds; what is longer than the part was a pause */
function sleep(values: Int32Array, index: number, value: number, leftMs: number): number {
  if (leftMs === Infinity) {
    Atomics.wait(values, index, value);
    return 0;
  }
  const partMs = Math.min(leftMs, sliceMs);
  const begin = performance.now();
  Atomics.wait(values, index, value, partMs);
  return Math.min(performance.now() - begin, partMs);
}
