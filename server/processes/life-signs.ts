/**
 * Tells a process that hangs from one that works: it computes nothing more and yet does not end, so that its clients would wait for
 * ever. Time is whoever calls `tick`.
 */

export type LifeSigns = {
  /** Asks, unless a question is open: then that was one more silence. To be called every `lifeMs`. */
  tick(): void;
  /** Silent so many times in a row that nothing more is to be expected. */
  readonly isHung: boolean;
};

export const lifeMs = 10_000;
/** Counted, not measured: where the parent was stopped as well, that is one. */
const silentCountMax = 3;
/** Of one that is hung, for people. */
export const silence = `no sign of life for ${(lifeMs * silentCountMax) / 1000} s`;

/** @param ask is answered at once by a process that is well; a failure is no answer */
export function createLifeSigns(ask: () => Promise<unknown>): LifeSigns {
  let isOpen = false;
  let silentCount = 0;
  return {
    tick() {
      if (isOpen) {
        silentCount++;
        return;
      }
      isOpen = true;
      ask().then(
        () => {
          isOpen = false;
          silentCount = 0;
        },
        () => {},
      );
    },
    get isHung() {
      return silentCount >= silentCountMax;
    },
  };
}
