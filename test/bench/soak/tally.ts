/** How often each kind of call was made, how long it took, and what failed that should not have. */

import { summarise } from '../statistics.ts';

export type Kind = {
  readonly name: string;
  readonly count: number;
  readonly failureCount: number;
  /** Milliseconds, of the last calls; 0 where none was made. */
  readonly p50: number;
  readonly p99: number;
};

export type Tally = {
  /** Makes a call of a kind; one that rejects is a failure. */
  run(name: string, call: () => Promise<void>): Promise<void>;
  readonly count: number;
  readonly failureCount: number;
  /** The first failures, as text. */
  readonly failures: readonly string[];
  readonly kinds: readonly Kind[];
};

const failureTextCountMax = 10;
/** Times kept of each kind, the last ones: the soak's own memory is flat too. */
const timeCountMax = 4096;

type Entry = { count: number; failureCount: number; readonly times: Float64Array };

export function createTally(): Tally {
  const entries = new Map<string, Entry>();
  const failures: string[] = [];
  const sum = (field: 'count' | 'failureCount') => [...entries.values()].reduce((total, one) => total + one[field], 0);
  return {
    async run(name, call) {
      let entry = entries.get(name);
      if (entry === undefined) {
        entry = { count: 0, failureCount: 0, times: new Float64Array(timeCountMax) };
        entries.set(name, entry);
      }
      const startMs = performance.now();
      try {
        await call();
      } catch (error) {
        entry.failureCount++;
        if (failures.length < failureTextCountMax) failures.push(`${name}: ${String(error)}`);
      }
      entry.times[entry.count++ % timeCountMax] = performance.now() - startMs;
    },
    get count() {
      return sum('count');
    },
    get failureCount() {
      return sum('failureCount');
    },
    failures,
    get kinds() {
      return [...entries].map(([name, { count, failureCount, times }]) => {
        const { p50, p99 } = summarise([...times.subarray(0, Math.min(count, timeCountMax))]);
        return { name, count, failureCount, p50, p99 };
      });
    },
  };
}
