/** The rate of a token: so many requests a second, and as many at once after a rest. */

export type TokenRate = {
  readonly perSecond: number;
  /** Takes one; false where none is left. */
  take(): boolean;
  /** Another process has taken so many. What is then below nothing is paid back before anybody is let in again. */
  charge(count: number): void;
  /** How many are left; may be set to what the other processes have. */
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
