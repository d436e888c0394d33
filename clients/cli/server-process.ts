/** A `hyperpolicy serve` process that another command starts: where it listens, its log in a file, and how it ended. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { failedPrecondition } from '../../src/contract/errors.ts';
import { makeFolder } from '../../src/files/folders.ts';

export type ServerProcess = {
  /** `host:port` of gRPC and of HTTP metrics. */
  readonly address: string;
  readonly metricsAddress: string;
  /** Asks it to drain and end; a second call does nothing. */
  stop(): void;
  /**
   * Resolves when it has ended by itself or on request.
   * @throws HyperpolicyError failed_precondition: it ended with an error or was killed
   */
  readonly ended: Promise<void>;
};

/** Level of a warning in pino's log lines. */
const warning = 40;

/**
 * Starts the server and waits until it serves.
 * @param flags of `hyperpolicy serve`, without their dashes
 * @param logFile takes the server's log; lines from warnings up are also given to `warn`
 * @throws HyperpolicyError failed_precondition: it ended before it served; its own message is on standard error
 */
export async function startServerProcess(
  flags: Readonly<Record<string, string | number>>,
  { logFile, warn }: { logFile: string; warn: (line: string) => void },
): Promise<ServerProcess> {
  makeFolder(dirname(logFile));
  const main = join(import.meta.dirname, 'main.js');
  const args = Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(process.execPath, [main, 'serve', ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const log = createWriteStream(logFile, { flags: 'a' });
  const exit = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const lines = createInterface({ input: child.stdout });
  const serving = new Promise<LogEntry>((resolve) => {
    lines.on('line', (line) => {
      log.write(`${line}\n`);
      const entry = parse(line);
      if (entry?.msg === 'serving') resolve(entry);
      if (entry !== undefined && entry.level >= warning) warn(`server: ${entry.msg}${reason(entry)}`);
    });
  });
  const first = await Promise.race([serving, exit]);
  if (Array.isArray(first)) throw ended('to serve', first, logFile);
  let isAsked = false;
  return {
    address: first.address,
    metricsAddress: `${first.address.slice(0, first.address.lastIndexOf(':'))}:${first.metricsPort}`,
    stop() {
      // A second SIGTERM would end it at once.
      if (!isAsked) child.kill('SIGTERM');
      isAsked = true;
    },
    ended: exit.then((how) => {
      if (how[0] !== 0) throw ended('to serve until it is told to stop', how, logFile);
    }),
  };
}

type LogEntry = {
  readonly level: number;
  readonly msg: string;
  readonly address: string;
  readonly metricsPort: number;
  readonly reason?: unknown;
  readonly err?: { readonly message?: string };
};

function parse(line: string): LogEntry | undefined {
  try {
    return JSON.parse(line) as LogEntry;
  } catch {
    return undefined; // not a log line, e.g. the runtime's own text: it is in the file
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
