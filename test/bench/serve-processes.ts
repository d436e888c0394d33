/** Child processes of the serving bench: the real server, the echo and the peers. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { EchoOptions } from './serve-echo-server.ts';
import type { ActPayload } from './serve-requests.ts';

export type Child = {
  readonly pid: number;
  readonly port: number;
  /** Processor time that all its threads have had, milliseconds; undefined where the system does not tell it. */
  cpuMs(): number | undefined;
  stop(): Promise<void>;
};

export type ServerChild = Child & {
  /** A number of its `/metrics`, by its name with labels as it stands there; 0 where there is none. */
  metric(sample: string): Promise<number>;
};

/** What whoever starts a process may want of it. */
export type ChildOptions = {
  /** Each line that it prints. */
  readonly onLine?: ((line: string) => void) | undefined;
  /** Each line of its standard error, which is this process's otherwise. */
  readonly onErrorLine?: ((line: string) => void) | undefined;
  /** How it ended, such as `exit code 1` or `SIGSEGV`: at once, whoever ended it. */
  readonly onEnd?: ((how: string) => void) | undefined;
  /** Kills it when aborted. */
  readonly signal?: AbortSignal | undefined;
  /** Its environment, which is this process's otherwise. */
  readonly env?: NodeJS.ProcessEnv | undefined;
};

/** Longest wait for the line that says where a program listens. */
const startMsMax = 120_000;
/** A server ends itself by force 15 s after SIGTERM, but for a thread that it cannot end. */
const endMsMax = 20_000;

const stopChild = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), endMsMax);
  await once(child, 'exit');
  clearTimeout(timer);
};

function spawned(program: string, args: readonly string[], options: ChildOptions) {
  const { onLine, onErrorLine, onEnd, signal, env } = options;
  const onError = onErrorLine === undefined ? 'inherit' : 'pipe';
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', onError], signal, env, killSignal: 'SIGKILL' });
  if (onErrorLine !== undefined) createInterface({ input: child.stderr! }).on('line', onErrorLine);
  // A program that is not there ends its output, and its error is told there.
  child.on('error', (error) => {
    if (signal?.aborted !== true) console.error(`${program}: ${error.message}`);
  });
  child.on('exit', (code, by) => onEnd?.(endOf(code, by)));
  const lines = createInterface({ input: child.stdout! });
  if (onLine !== undefined) lines.on('line', onLine);
  return { child, lines };
}

const endOf = (code: number | null, by: NodeJS.Signals | null): string => by ?? `exit code ${code}`;

/** Starts a program and waits for the first line from which `read` reads something; later ones it is not given. */
export async function startChild<T>(
  program: string,
  args: readonly string[],
  read: (line: string) => T | undefined,
  options: ChildOptions = {},
): Promise<T & Pick<Child, 'pid' | 'cpuMs' | 'stop'>> {
  const { child, lines } = spawned(program, args, options);
  const timer = setTimeout(() => child.kill('SIGKILL'), startMsMax);
  const found = await new Promise<T | undefined>((resolve) => {
    const look = (line: string) => {
      const value = read(line);
      if (value === undefined) return;
      lines.off('line', look);
      resolve(value);
    };
    lines.on('line', look);
    child.on('close', () => resolve(undefined));
  });
  clearTimeout(timer);
  if (found === undefined) {
    const command = [program, ...args.slice(0, 2)].join(' ');
    throw new Error(`${command}: expected a port on its output within ${startMsMax / 1000} s, got an exit`);
  }
  // Nobody reads on.
  if (options.onLine === undefined) {
    lines.close();
    child.stdout!.resume();
  }
  const pid = child.pid!;
  return { ...found, pid, cpuMs: () => cpuMsOf(pid), stop: () => stopChild(child) };
}

export type RunOptions = ChildOptions & {
  /** It is interrupted then, and killed `graceMs` later. */
  readonly limitMs: number;
  readonly graceMs?: number;
};

/** Runs a program to its end or its limit. @returns how it ended: `exit code 0` where it did well */
export async function runToEnd(
  program: string,
  args: readonly string[],
  { limitMs, graceMs = 10_000, ...options }: RunOptions,
): Promise<string> {
  const { child } = spawned(program, args, options);
  // Code that is in a native run does not hear an interrupt.
  const timers = [
    setTimeout(() => child.kill('SIGINT'), limitMs),
    setTimeout(() => child.kill('SIGKILL'), limitMs + graceMs),
  ];
  // Closed: ended, and all that it printed is read. Also of a program that is not there.
  const [code, by] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.on('close', (...end) => resolve(end)),
  );
  for (const timer of timers) clearTimeout(timer);
  return endOf(code, by);
}

/** Linux tells nanoseconds by thread. */
export function cpuMsOf(pid: number): number | undefined {
  const threads = `/proc/${pid}/task`;
  if (!existsSync(threads)) return undefined;
  const times = readdirSync(threads).map((thread) => readFileSync(`${threads}/${thread}/schedstat`, 'utf8'));
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1e6, 0);
}

const portLine = (line: string) => (/^\d+$/.test(line) ? { port: Number(line) } : undefined);

/** Where a server listens, of the line of its log that says so. */
export function servingPorts(line: string): { readonly port: number; readonly metricsPort: number } | undefined {
  const entry = objectOf(line);
  if (entry?.msg !== 'serving') return undefined;
  return { port: Number(String(entry.address).split(':').at(-1)), metricsPort: Number(entry.metricsPort) };
}

/** A line that is a JSON object; undefined for any other: a library's own output, or what a kill cut. */
export function objectOf(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

const compiled = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

export type ServerOptions = ChildOptions & {
  /** Takes a CPU profile of each of its threads when it ends. */
  readonly profileDirectory?: string | undefined;
};

/**
 * The real server over a store, through its command line.
 * @param args of `hyperpolicy serve`
 */
export async function startServerProcess(
  store: string,
  args: readonly string[] = [],
  { profileDirectory, ...options }: ServerOptions = {},
): Promise<ServerChild> {
  const profiling = profileDirectory === undefined ? [] : ['--cpu-prof', '--cpu-prof-dir', profileDirectory];
  const main = compiled('../../clients/cli/main.js');
  const child = await startChild(
    process.execPath,
    [...profiling, main, 'serve', '--store', store, '--port', '0', '--metrics-port', '0', ...args],
    servingPorts,
    options,
  );
  const url = `http://127.0.0.1:${child.metricsPort}/metrics`;
  return {
    ...child,
    metric: async (sample) => sampleOf(await (await fetch(url)).text(), sample),
  };
}

/** A sample of a text in Prometheus' form, by name and labels as they stand there; 0 where there is none. */
export function sampleOf(text: string, sample: string): number {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${sample} `));
  return line === undefined ? 0 : Number(line.slice(sample.length + 1));
}

/** The yardstick, in a process of its own. */
export function startEchoProcess({ act, actStream, expected }: EchoOptions): Promise<Child> {
  const encoded = (buffers: ActPayload) => ({
    act: buffers.act.toString('base64'),
    actStream: buffers.actStream.toString('base64'),
  });
  const options = { ...encoded({ act, actStream }), ...(expected && { expected: encoded(expected) }) };
  return startChild(process.execPath, [compiled('./serve-echo.js'), JSON.stringify(options)], portLine);
}

/** A server written in Python. */
export const startPythonProcess = (python: string, script: string, args: readonly string[]): Promise<Child> =>
  startChild(python, [sourceFile(script), ...args], portLine);

/** A file beside this one in the source tree: compiled benches run from dist/. */
function sourceFile(name: string): string {
  const here = fileURLToPath(new URL(name, import.meta.url));
  return here.replace('/dist/test/bench/', '/test/bench/');
}
