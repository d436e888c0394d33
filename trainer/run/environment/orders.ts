/** Orders to a thread of user code, through the memory that it shares. */

import { createWaiter } from '../../machine/wait.ts';
import { type Job, slot } from './protocol.ts';

const spinMs = 0.2;

export class Orders {
  readonly #control: Int32Array;
  readonly #waiter = createWaiter(spinMs);
  #order = 0;
  /** When the last one was given. */
  givenAt = 0;

  constructor(control: Int32Array) {
    this.#control = control;
  }

  get isDone(): boolean {
    return Atomics.load(this.#control, slot.done) === this.#order;
  }

  give(job: Job, batch: number, episode: number): void {
    this.givenAt = performance.now();
    this.#order = (this.#order + 1) | 0;
    this.#control[slot.job] = job;
    this.#control[slot.batch] = batch;
    this.#control[slot.episode] = episode;
    Atomics.store(this.#control, slot.order, this.#order);
    Atomics.notify(this.#control, slot.order);
  }

  cut(isCut: boolean): void {
    Atomics.store(this.#control, slot.isCut, Number(isCut));
  }

  /** Waits at most `timeoutMs`. @returns whether the last one is done, or nothing will do it */
  waitForDone(timeoutMs: number, hasEnded: () => boolean): boolean {
    const until = performance.now() + timeoutMs;
    while (!hasEnded() && !this.isDone) {
      const remainingMs = until - performance.now();
      if (remainingMs <= 0) return false;
      this.#waiter.while(this.#control, slot.done, (this.#order - 1) | 0, remainingMs);
    }
    return true;
  }
}
