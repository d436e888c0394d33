/** A store with random packages, and the real server over it in this process. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino, { type Logger } from 'pino';
import { onTestFinished } from 'vitest';
import { createPolicyClient, type PolicyClient } from '../../clients/typescript/client.ts';
import type { ServerSettings } from '../../server/config.ts';
import { type RunningServer, startServer } from '../../server/main.ts';
import { createMetrics } from '../../server/telemetry/metrics.ts';
import { Spool } from '../../src/files/spool.ts';
import { publishRandomPackage, type RandomPackageOptions } from '../random-package.ts';

export type PackageOptions = Omit<RandomPackageOptions, 'store'>;

/** A model of one small graph. */
export const plain = {
  model: 'plain',
  policy: 'plain',
  critic: 'none',
  observationSize: 3,
  actionSize: 2,
  hiddenSize: 8,
} as const;

/** When to clean up: at the end of the test, or of all tests of the file (`afterAll`). */
export type CleanUp = (clean: () => Promise<void>) => void;

/** A directory that is removed in the end. */
export async function temporaryStore(
  packages: readonly PackageOptions[] = [],
  cleanUp: CleanUp = onTestFinished,
): Promise<string> {
  const store = await mkdtemp(join(tmpdir(), 'hyperpolicy-test-'));
  cleanUp(() => rm(store, { recursive: true, force: true }));
  for (const options of packages) await publishRandomPackage({ store, ...options });
  return store;
}

/** Names of the files in a directory of context handles, without the socket of its server. */
export const spoolFiles = async (directory: string): Promise<string[]> =>
  (await new Spool({ directory }).list()).map(({ name }) => name);

/** Metrics of parts that run without a server. */
export const metricsOfParts = () => createMetrics({ eventLoopDelayUs: () => 0 });

/** The lines of a log, as objects. */
export function recordingLog(): { readonly log: Logger; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug' }, { write: (text: string) => lines.push(JSON.parse(text)) });
  return { log, lines };
}

export type TestServer = {
  readonly server: RunningServer;
  readonly client: PolicyClient;
  readonly address: string;
  readonly lines: readonly Record<string, unknown>[];
};

/** A server with free ports, no watching, and nothing that depends on measured times; and a client of it. Both end in the end. */
export async function startTestServer(
  packages: readonly PackageOptions[],
  settings: ServerSettings = {},
  cleanUp: CleanUp = onTestFinished,
): Promise<TestServer> {
  const store = settings.store ?? (await temporaryStore(packages, cleanUp));
  const { log, lines } = recordingLog();
  const server = await startServer(
    { store, port: 0, metricsPort: 0, watchMs: 0, drainMs: 1000, newRows: 'kept', ...settings },
    log,
  );
  const address = `127.0.0.1:${server.port}`;
  // Longer than a busy machine takes for anything: tests that are about time say so themselves.
  const client = createPolicyClient({ address, timeoutMs: 30_000, keepaliveTimeoutMs: 30_000 });
  cleanUp(async () => {
    client.close();
    await server.stop();
  });
  return { server, client, address, lines };
}

/** Values of the metrics whose line begins with this. */
export async function metricLines({ server }: TestServer, prefix: string): Promise<Record<string, number>> {
  const response = await fetch(`http://127.0.0.1:${server.metricsPort}/metrics`);
  const lines = (await response.text()).split('\n').filter((line) => line.startsWith(prefix));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1).replace('Inf', 'Infinity'))];
    }),
  );
}
