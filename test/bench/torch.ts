/** The PyTorch process of the engine bench: one line of JSON asked, one answered. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export type TorchCase = 'critic_train' | 'critic_forward' | 'td3' | 'td3_mlp' | 'hvp' | 'hvp_inner' | 'pearl';

/** Milliseconds of a step: by the clock, the median; of all processors, the mean. */
export type Timing = { readonly ms: number; readonly cpu_ms: number };

export type Torch = {
  /** The first call of a case builds it. */
  time(name: TorchCase, batch: number, threads: number, seconds: number): Promise<Timing>;
  close(): Promise<void>;
};

/** @param python an interpreter with torch installed */
export function startTorch(python: string): Torch {
  const script = sourceFile('test/bench/torch-reference.py');
  const child: ChildProcess = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  return {
    async time(name, batch, threads, seconds) {
      child.stdin!.write(`${JSON.stringify({ case: name, batch, threads, seconds })}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`${python}: expected an answer for ${name}, got the end of its output`);
      return JSON.parse(value) as Timing;
    },
    async close() {
      child.stdin!.end();
      if (child.exitCode === null) await once(child, 'exit');
    },
  };
}

/** A file of the source tree: compiled benches run from dist/, scripts stay. */
export const sourceFile = (path: string): string => fileURLToPath(new URL(path, root()));

function root(): URL {
  const here = new URL('../../', import.meta.url);
  return here.pathname.endsWith('/dist/') ? new URL('../', here) : here;
}
