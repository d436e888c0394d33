/**
 * The updates that are due, in slices of about 50 ms. Between two of them the event loop has its turn, and a run may end: what is due and
 * not taken is taken when it goes on.
 */

import { type OffPolicyConfig, updatesDue, updatesPerRunOf } from './off-policy-config.ts';

/** Interrupts, timers and messages wait so long at most, but for a run of the engine that takes longer. */
export const turnIntervalMs = 50;
/** Updates for so long go on beside a step of the environments, to their end; an interrupt waits for them. */
const besideStepMs = 1000;

export class DueUpdates {
  /** Those taken since the run began. */
  count: number;
  readonly #config: OffPolicyConfig;
  readonly #take: () => void;
  readonly #now: () => number;
  /** What is taken at once, in one run of the engine. */
  readonly #together: number;
  /** Of `#together` updates, as the last ones took. */
  #durationMs = Number.POSITIVE_INFINITY;

  /**
   * @param options.take one update
   * @param options.count those taken before
   * @param options.now milliseconds; only differences matter
   */
  constructor(
    config: OffPolicyConfig,
    { take, count, now }: { readonly take: () => void; readonly count: number; readonly now: () => number },
  ) {
    this.#config = config;
    this.#take = take;
    this.#now = now;
    this.#together = updatesPerRunOf(config);
    this.count = count;
  }

  /** Whether all are taken that are due at a step. */
  areTaken(step: number): boolean {
    return this.count >= updatesDue(this.#config, step);
  }

  /** Whether those left at a step take longer than may be beside a step of the environments. */
  areLong(step: number): boolean {
    const left = this.#left(step);
    return left > 1 && left * this.#durationMs > besideStepMs;
  }

  /** Takes those of a slice. @returns whether some are left */
  takeSlice(step: number): boolean {
    // The common case, without a look at the clock: what is left cannot be cut.
    if (this.#left(step) <= 1) {
      while (!this.areTaken(step)) this.#takeOne();
      return false;
    }
    const startedAt = this.#now();
    let passed = 0;
    let count = 0;
    for (; this.#left(step) > 0 && passed < turnIntervalMs; count++) {
      for (let i = 0; i < this.#together; i++) this.#takeOne();
      passed = this.#now() - startedAt;
    }
    this.#durationMs = passed / count;
    return !this.areTaken(step);
  }

  /** In units of those taken together. */
  #left(step: number): number {
    return (updatesDue(this.#config, step) - this.count) / this.#together;
  }

  #takeOne(): void {
    this.#take();
    this.count += 1;
  }
}
