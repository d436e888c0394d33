/** Jobs that wait for their turn: a bounded number at once, or one at once of each name. */

/** Runs a job when its turn has come. @returns what the job does */
type Take = <T>(job: () => Promise<T>) => Promise<T>;

/** At most `count` jobs at once. Others begin in the order in which they came. */
export function createTurns(count: number): Take {
  const waiting: (() => void)[] = [];
  let freeCount = count;
  return async (job) => {
    if (freeCount > 0) freeCount--;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await job();
    } finally {
      const next = waiting.shift();
      if (next === undefined) freeCount++;
      else next();
    }
  };
}

/** Jobs of one name run one after the other, those of different names at the same time. */
export class NamedTurns {
  /** The end of the last job of each name that has one. */
  readonly #ends = new Map<string, Promise<void>>();

  /** @returns what the job does; a job that fails does not keep the next from its turn */
  take<T>(name: string, job: () => Promise<T>): Promise<T> {
    const result = (this.#ends.get(name) ?? Promise.resolve()).then(job);
    const leave = () => {
      if (this.#ends.get(name) === end) this.#ends.delete(name);
    };
    const end: Promise<void> = result.then(leave, leave);
    this.#ends.set(name, end);
    return result;
  }

  /** Resolves when the jobs that have been taken are over. */
  async over(): Promise<void> {
    await Promise.all(this.#ends.values());
  }
}
