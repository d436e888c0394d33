/** A server in one process: what serves, with its metrics port and its admin port; started and stopped in order. */

import pino, { type Logger } from 'pino';
import { emptyStoreRemedy, invalidArgument } from '../src/contract/errors.ts';
import { listenAdmin } from './admin-port.ts';
import { addressOf } from './call/ports.ts';
import { parseServerConfig, type ServerConfig, type ServerSettings } from './config.ts';
import type { SpoolPart } from './handles/open-handles.ts';
import type { ModelStore } from './models/model-store.ts';
import { Serving } from './serving.ts';
import { listenMetrics } from './transport/metrics-http.ts';

export type RunningServer = {
  readonly config: ServerConfig;
  /** The ports that were bound, where the settings say 0. */
  readonly port: number;
  readonly metricsPort: number;
  /** Undefined where there is none. */
  readonly adminPort: number | undefined;
  readonly httpPort: number | undefined;
  readonly models: ModelStore;
  /** Not ready from now on; answers what is in flight, for at most `drainMs`; frees everything. The second call waits for the first. */
  stop(): Promise<void>;
};

/**
 * Starts a server in this process.
 * @param log by default JSON lines on standard output
 * @param spool of context handles, where several servers share one
 * @throws HyperpolicyError: a setting that is wrong; a port that cannot be had
 */
export async function startServer(settings: ServerSettings, log?: Logger, spool?: SpoolPart): Promise<RunningServer> {
  const config = parseServerConfig(settings);
  if (config.processCount !== 1) {
    throw invalidArgument({
      where: 'startServer',
      expected: 'processCount 1',
      actual: `${config.processCount}`,
      remedy: 'startProcesses starts several',
    });
  }
  const logger = log ?? pino({ level: config.logLevel });
  const serving = new Serving(config, logger, spool && { spool });
  // The metrics port comes first: a server that loads large models is alive, and not ready.
  const { registry } = serving.metrics;
  const metricsListener = await listenMetrics(config, registry, serving.notReady).catch(async (error: unknown) => {
    await serving.close();
    throw error;
  });
  const started = await serving.start().catch(async (error: unknown) => {
    await metricsListener.close();
    throw error;
  });
  const { port, httpPort, models, deps, doors } = started;
  const adminListener = await listenAdmin(models, { ...deps, access: doors.admin }).catch(async (error: unknown) => {
    await serving.close();
    await metricsListener.close();
    throw error;
  });
  const ports = { metricsPort: metricsListener.port, adminPort: adminListener?.port, httpPort };
  logger.info({ address: addressOf(config.host, port), ...ports }, 'serving');
  if (models.list().length === 0) logger.warn({ store: config.store, remedy: emptyStoreRemedy }, 'no model is ready');

  const stop = async () => {
    await Promise.all([serving.drain(), adminListener?.drain(config.drainMs)]);
    await serving.close();
    await metricsListener.close();
    logger.info('stopped');
  };
  let stopped: Promise<void> | undefined;
  return {
    config,
    port,
    ...ports,
    models,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}
