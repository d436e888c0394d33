/** Child processes of the serving bench: the real server and the echo. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

export type Child = { readonly port: number; stop(): Promise<void> };

const stopChild = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
};

/** Starts `node script ...args` and waits for the line from which `portOf` reads a port. */
async function startChild(
  script: string,
  args: readonly string[],
  portOf: (line: string) => number | undefined,
): Promise<Child> {
  const child = spawn(process.execPath, [script, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: child.stdout! })) {
    const port = portOf(line);
    if (port === undefined) continue;
    child.stdout!.resume();
    return { port, stop: () => stopChild(child) };
  }
  throw new Error(`${script}: expected a port on standard output, got an exit`);
}

/** The real server over a store, through its command line. */
export const startServerProcess = (store: string, args: readonly string[] = []): Promise<Child> =>
  startChild(
    new URL('../../clients/cli/main.js', import.meta.url).pathname,
    ['serve', '--store', store, '--port', '0', '--metrics-port', '0', ...args],
    (line) => {
      const { msg, address } = JSON.parse(line) as { msg: string; address?: string };
      return msg === 'serving' ? Number(address!.split(':').at(-1)) : undefined;
    },
  );

/** @param responseBytes of the single call, and of the stream */
export const startEchoProcess = (responseBytes: readonly [number, number]): Promise<Child> =>
  startChild(new URL('./serve-echo.js', import.meta.url).pathname, responseBytes.map(String), Number);
