/** The state of a vectorised environment, and which calls it allows. */

import { failedPrecondition } from '../../src/contract/errors.ts';

type State = 'new' | 'idle' | 'stepping' | 'failed';

/**
 * The state is `failed` from the start of a piece of work until it ends without an error: after an error the threads may be at different
 * steps.
 */
export class VectorEnvState {
  readonly #name: string;
  #state: State = 'new';

  /** @param name of the environment, for errors */
  constructor(name: string) {
    this.#name = name;
  }

  get isNew(): boolean {
    return this.#state === 'new';
  }

  get isStepping(): boolean {
    return this.#state === 'stepping';
  }

  /** @throws HyperpolicyError failed_precondition: another state */
  require(wanted: 'idle' | 'stepping', where: string, remedy: string): void {
    const state = this.#state;
    if (state === wanted) return;
    if (state === 'failed') throw this.#failure();
    const actual = { new: 'no episodes yet', idle: 'none', stepping: 'one in progress' }[state];
    const expected = wanted === 'idle' ? 'episodes in progress and no step' : 'a step in progress';
    throw failedPrecondition({ where: `${this.#name}: ${where}`, expected, actual, remedy });
  }

  /** @throws HyperpolicyError failed_precondition */
  requireSound(): void {
    if (this.#state === 'failed') throw this.#failure();
  }

  attempt(next: 'idle' | 'stepping', work: () => void): void {
    this.#state = 'failed';
    work();
    this.#state = next;
  }

  async attemptLater<T>(work: () => Promise<T>): Promise<T> {
    this.#state = 'failed';
    const result = await work();
    this.#state = 'idle';
    return result;
  }

  #failure(): Error {
    return failedPrecondition({
      where: this.#name,
      expected: 'environments in step with each other',
      actual: 'a batch that failed',
      remedy: 'Dispose it and create another',
    });
  }
}
