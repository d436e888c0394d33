/** The real server as a process of its own, as the soak sees it: its ports, its metrics, its log of faults and its end. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { objectOf } from '../serve-processes.ts';

export type SoakServer = {
  readonly address: string;
  readonly adminAddress: string;
  readonly httpUrl: string;
  /** Every sample of `/metrics`, by name with labels as it stands there. */
  scrape(): Promise<ReadonlyMap<string, number>>;
  /** The first lines of level error and above; refused packages are among them. */
  readonly errors: readonly string[];
  /** SIGTERM; the exit code. */
  stop(): Promise<number | null>;
};

const errorCountMax = 20;

/**
 * Starts `hyperpolicy serve` with free ports.
 * @param command the compiled command line, `dist/clients/cli/main.js`
 * @param args beside the ports
 */
export async function startSoakServer(command: string, args: readonly string[]): Promise<SoakServer> {
  const free = ['--port', '0', '--metrics-port', '0', '--admin-port', '0', '--http-port', '0'];
  const child = spawn(process.execPath, [command, 'serve', ...free, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const errors: string[] = [];
  const { address, metricsPort, adminPort, httpPort } = await untilServing(child, errors);
  return {
    address,
    adminAddress: `127.0.0.1:${adminPort}`,
    httpUrl: `http://127.0.0.1:${httpPort}`,
    errors,
    async scrape() {
      const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
      const samples = (await response.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
      return new Map(samples.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]));
    },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const exit = once(child, 'exit');
        child.kill('SIGTERM');
        await exit;
      }
      return child.exitCode;
    },
  };
}

type Serving = {
  readonly address: string;
  readonly metricsPort: number;
  readonly adminPort: number;
  readonly httpPort: number;
};

function untilServing(child: ChildProcess, errors: string[]): Promise<Serving> {
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`the server ended with code ${code} before it served`)));
    createInterface({ input: child.stdout! }).on('line', (text) => {
      const line = objectOf(text) as ({ level: number; msg: string } & Serving) | undefined;
      if (line === undefined) return;
      if (line.level >= 50 && errors.length < errorCountMax) errors.push(text);
      if (line.msg === 'serving') resolve(line);
    });
  });
}
