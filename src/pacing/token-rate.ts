/** A token bucket: how many requests may still be taken. Counting of other processes is added, and may lead below 0. */

/** `perSecond` requests a second, and as many at once after a pause. */
export type TokenRate = {
  readonly perSecond: number;
  /** Takes one; false if none is left. */
  take(): boolean;
  /** Counts requests of another process. A negative rest must be filled up before a request is accepted again. */
  charge(count: number): void;
  left: number;
};

/** @param clock milliseconds, not going backwards */
export function createTokenRate(perSecond: number, clock: () => number): TokenRate {
  const burst = Math.max(1, perSecond);
  let left = burst;
  let countedAtMs = clock();
  const count = (): number => {
    const nowMs = clock();
    left = Math.min(burst, left + ((nowMs - countedAtMs) / 1000) * perSecond);
    countedAtMs = nowMs;
    return left;
  };
  return {
    perSecond,
    take() {
      if (count() < 1) return false;
      left -= 1;
      return true;
    },
    charge(taken) {
      left = count() - taken;
    },
    get left() {
      return count();
    },
    set left(value) {
      countedAtMs = clock();
      left = Math.min(burst, value);
    },
  };
}
