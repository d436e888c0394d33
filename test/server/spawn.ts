/** The real server as a process, as an operator starts it. Needs the built command. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

export const builtCommand = fileURLToPath(new URL('../../dist/clients/cli/main.js', import.meta.url));

/** A line of the log. */
export type Line = {
  readonly msg: string;
  readonly pid: number;
  /** Milliseconds on the clock of `Date.now()`. */
  readonly time: number;
  readonly address?: string;
  readonly metricsPort?: number;
  readonly adminPort?: number;
  readonly httpPort?: number;
  readonly method?: string;
  /** Of several: 0 is the parent. */
  readonly process?: number;
};

export type SpawnedServer = {
  readonly child: ChildProcess;
  readonly address: string;
  /** Of the line that tells that it serves. */
  readonly serving: Line;
  readonly lines: readonly Line[];
  /** The first line, past or to come, for which this holds. */
  line(holds: (line: Line) => boolean): Promise<Line>;
  /** What went to standard error so far. */
  error(): string;
};

/** A server on free ports, once it serves. It is killed when the test ends. @param command this checkout's unless given */
export async function spawnServer(args: readonly string[], command = builtCommand): Promise<SpawnedServer> {
  const child = spawn(process.execPath, [command, 'serve', '--port', '0', '--metrics-port', '0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const lines: Line[] = [];
  const waiting = new Set<() => void>();
  let error = '';
  child.stderr!.on('data', (text) => {
    error += text;
  });
  createInterface({ input: child.stdout! }).on('line', (text) => {
    lines.push(JSON.parse(text) as Line);
    for (const look of waiting) look();
  });
  const line = (holds: (line: Line) => boolean): Promise<Line> =>
    new Promise((resolve, reject) => {
      const look = () => {
        const found = lines.find(holds);
        if (found === undefined) return;
        waiting.delete(look);
        resolve(found);
      };
      waiting.add(look);
      child.once('close', (code) => reject(new Error(`exit ${code}: ${error}`)));
      look();
    });
  const serving = await line(({ msg }) => msg === 'serving');
  return { child, address: serving.address!, serving, lines, line, error: () => error };
}

/** A run of the command that ends by itself. */
export async function runToEnd(args: readonly string[]): Promise<{ code: number | null; error: string }> {
  const child = spawn(process.execPath, [builtCommand, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let error = '';
  child.stderr.on('data', (text) => {
    error += text;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, error };
}
