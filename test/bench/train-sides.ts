/**
 * The sides of the training bench: each a process that trains without end, on its own cores, and is stopped (SIGSTOP) while another
 * is measured. It prints a line `steps {"steps": N, "seconds": T}` several times a second once it learns.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createInterface } from 'node:readline';

type Line = { readonly steps: number; readonly seconds: number; readonly parts?: Readonly<Record<string, number>> };

/** What a process did in a window. */
export type Window = {
  readonly stepsPerSecond: number;
  /** Microseconds a step of each part, where the process tells them. */
  readonly parts: Readonly<Record<string, number>>;
};

export type Side = {
  /** Lets it train for a while, and stops it. */
  measure(seconds: number): Promise<Window>;
  close(): void;
};

/** Steps with updates before anything is measured. */
const settlingSteps = 4;

/** Exit status of a reference whose library is not installed. */
const absent = 3;

/**
 * Starts a side and waits until it learns; it is stopped then.
 * @param cores that it may use; all where `taskset` is missing
 * @returns null where the process says that its library is not installed
 */
export async function openSide(command: readonly string[], cores: readonly number[]): Promise<Side | null> {
  const [file, ...args] = canPin ? ['taskset', '-c', cores.join(','), ...command] : command;
  const child = spawn(file!, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<Line | null> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) return null;
      // Libraries print lines of their own.
      if (value.startsWith('steps ')) return JSON.parse(value.slice('steps '.length)) as Line;
    }
  };
  const require = async (): Promise<Line> => {
    const line = await next();
    if (line === null) throw new Error(`${command.join(' ')}: expected it to train on, got its end`);
    return line;
  };
  const begin = await next();
  if (begin === null) {
    const status = await ended(child);
    if (status === absent) return null;
    throw new Error(`${command.join(' ')}: expected it to train, got its end with ${status}`);
  }
  // Libraries compile in their first updates.
  while ((await require()).steps < begin.steps + settlingSteps);
  child.kill('SIGSTOP');
  return {
    async measure(seconds) {
      child.kill('SIGCONT');
      // The first line may be one from before it was stopped.
      await require();
      const first = await require();
      let last = await require();
      while (last.seconds - first.seconds < seconds) last = await require();
      child.kill('SIGSTOP');
      const steps = last.steps - first.steps;
      const parts = Object.entries(last.parts ?? {}).map(([name, us]) => [name, (us - first.parts![name]!) / steps]);
      return {
        stepsPerSecond: steps / (last.seconds - first.seconds),
        parts: Object.fromEntries(parts) as Record<string, number>,
      };
    },
    close() {
      child.kill('SIGKILL');
    },
  };
}

const canPin = spawnSync('taskset', ['-V'], { stdio: 'ignore' }).status === 0;

const ended = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null ? Promise.resolve(child.exitCode) : new Promise((resolve) => child.once('exit', resolve));
