/** A server in one process. */

import type { Logger } from 'pino';
import { invalidArgument } from '../src/contract/errors.ts';
import { parseServerConfig, type ServerSettings } from './config.ts';
import type { ModelStore } from './models/model-store.ts';
import { type RunningServer as Running, runServer } from './running.ts';
import { Serving, type Started } from './serving.ts';
import { createLog } from './telemetry/log.ts';

export type RunningServer = Running & { readonly models: ModelStore };

/**
 * Starts a server in this process.
 * @param log by default JSON lines on standard output
 * @throws HyperpolicyError: a wrong setting; a port that cannot be had
 */
export async function startServer(settings: ServerSettings, log?: Logger): Promise<RunningServer> {
  const config = parseServerConfig(settings);
  if (config.processCount !== 1) {
    throw invalidArgument({
      where: 'startServer',
      expected: 'processCount 1',
      actual: `${config.processCount}`,
      remedy: 'startProcesses starts several',
    });
  }
  const logger = log ?? createLog(config.logLevel);
  const serving = new Serving(config, logger);
  let started: Started | undefined;
  const server = await runServer({
    config,
    log: logger,
    registry: serving.metrics.registry,
    notReady: serving.notReady,
    trying: serving.trying,
    async start() {
      started = await serving.start();
      return { ...started, deps: { ...started.deps, access: started.doors.admin } };
    },
    drain: () => serving.drain(),
    close: () => serving.close(),
  });
  return { ...server, models: started!.models };
}
