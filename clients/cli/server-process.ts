/** A `hyperpolicy serve` process that another command starts: where it listens, its log in a file, and how it ended. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { isRecord } from '../../src/contract/records.ts';
import { makeFolder } from '../../src/files/folders.ts';
import { createLineWriter } from '../../src/files/line-writer.ts';

export type ServerProcess = {
  /** `host:port` of gRPC and of HTTP metrics. */
  readonly address: string;
  readonly metricsAddress: string;
  /** Undefined if the HTTP port is off. */
  readonly httpAddress: string | undefined;
  /**
   * Resolves when it has ended by itself or on request.
   * @throws HyperpolicyError failed_precondition: it ended with an error or was killed
   */
  readonly ended: Promise<void>;
};

/** Level of a warning in pino's log lines. */
const warning = 40;

export type ServerProcessOptions = {
  /** Takes the server's log. */
  readonly logFile: string;
  /** Also gets the log's lines from warnings up. */
  readonly warn: (line: string) => void;
  /** Asks the server to drain and end, also while it starts. */
  readonly signal: AbortSignal;
};

/**
 * Starts the server and waits until it serves.
 * @param flags of `hyperpolicy serve`, without their dashes
 * @returns undefined if it was asked to end before it served, and has ended
 * @throws HyperpolicyError failed_precondition: it ended before it served; its own message is on standard error. Error of the system: its
 *   log cannot be opened
 */
export async function startServerProcess(
  flags: Readonly<Record<string, string | number>>,
  { logFile, warn, signal }: ServerProcessOptions,
): Promise<ServerProcess | undefined> {
  makeFolder(dirname(logFile));
  const log = openLog(logFile, warn);
  const main = join(import.meta.dirname, 'main.js');
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, [main, 'serve', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  // Once: a second SIGTERM would end it without a drain.
  signal.addEventListener('abort', () => child.kill('SIGTERM'), { once: true });
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const lines = createInterface({ input: child.stdout });
  lines.once('close', log.close);
  const serving = new Promise<LogEntry>((resolve) => {
    lines.on('line', (line) => {
      log.write(`${line}\n`);
      const entry = parse(line);
      if (entry?.msg === 'serving') resolve(entry);
      if (entry !== undefined && entry.level >= warning) warn(`server: ${entry.msg}${reason(entry)}`);
    });
  });
  const first = await Promise.race([serving, exit]);
  if (signal.aborted) {
    await exit;
    return undefined;
  }
  if (Array.isArray(first)) throw ended('to serve', first, logFile);
  const { address, metricsPort, httpPort } = first;
  const at = (port: number) => `${address.slice(0, address.lastIndexOf(':'))}:${port}`;
  return {
    address,
    metricsAddress: at(metricsPort),
    httpAddress: httpPort === undefined ? undefined : at(httpPort),
    ended: exit.then((how) => {
      if (how[0] !== 0) throw ended('to serve until it is told to stop', how, logFile);
    }),
  };
}

/** Lines that cannot be written are lost, which is told once: the server goes on. */
function openLog(file: string, warn: (line: string) => void): { write(line: string): void; close(): void } {
  const descriptor = openSync(file, 'a');
  let isTold = false;
  const { write } = createLineWriter(descriptor, ({ message }) => {
    if (!isTold) warn(`lines of the server's log are lost: ${file} cannot be written (${message})`);
    isTold = true;
  });
  return { write, close: () => closeSync(descriptor) };
}

type LogEntry = {
  readonly level: number;
  readonly msg: string;
  readonly address: string;
  readonly metricsPort: number;
  readonly httpPort?: number;
  readonly reason?: unknown;
  readonly err?: { readonly message?: string };
};

/** Undefined for what is no line of the log, e.g. the runtime's own text: it is in the file. */
function parse(line: string): LogEntry | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    return isRecord(entry) ? (entry as LogEntry) : undefined;
  } catch {
    return undefined;
  }
}

function reason({ reason: given, err }: LogEntry): string {
  const text = typeof given === 'string' ? given : err?.message;
  return text === undefined ? '' : `: ${text}`;
}

const ended = (expected: string, [code, signal]: [number | null, NodeJS.Signals | null], logFile: string) =>
  failedPrecondition({
    where: 'server process',
    expected,
    actual: signal === null ? `exit code ${code}` : `an end by ${signal}`,
    remedy: `Its log is in ${logFile}`,
  });
