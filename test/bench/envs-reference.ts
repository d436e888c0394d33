/** The Python side of the environment bench: a process that steps reference environments when told to. */

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export type Side = 'single' | 'sync' | 'async' | 'envpool';

export type Reference = {
  /** Creates a side's environments. */
  open(
    side: Side,
    options: {
      readonly name: string;
      /** Actions [T, N, A], float32. */
      readonly file: string;
      readonly environmentCount: number;
      readonly threadCount: number;
    },
  ): Promise<void>;
  /** Steps for a while. @returns environment steps per second */
  rate(side: Side, seconds: number): Promise<number>;
  closeAll(): Promise<void>;
  close(): void;
};

/** Starts the process. @param python an interpreter with gymnasium[mujoco] and envpool */
export function openReference(python: string): Reference {
  const child = spawn(python, ['test/bench/envs-reference.py'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ask = async (order: object): Promise<number> => {
    child.stdin.write(`${JSON.stringify(order)}\n`);
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${python}: expected an answer, got the end of the process`);
      // Libraries may print lines of their own.
      if (value.startsWith('answer ')) return Number(value.slice('answer '.length));
    }
  };
  return {
    async open(side, options) {
      await ask({ order: 'open', side, ...options });
    },
    rate: (side, seconds) => ask({ order: 'rate', side, seconds }),
    async closeAll() {
      await ask({ order: 'close' });
    },
    close() {
      child.stdin.end();
    },
  };
}
