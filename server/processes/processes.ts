/**
 * A server of several processes that share its ports: this one is their parent. It answers no request itself; the admin and the metrics
 * port are its own, because what they show and change is the server as a whole.
 */

import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';
import pino, { type Logger } from 'pino';
import { Counter, Gauge, type Registry } from 'prom-client';
import { emptyStoreRemedy } from '../../src/contract/errors.ts';
import { openDoors } from '../access/access.ts';
import { listenAdmin } from '../admin-port.ts';
import { addressOf } from '../call/ports.ts';
import { parseServerConfig, type ServerSettings } from '../config.ts';
import { createSpoolDirectory, removeSpoolDirectory } from '../handles/handle-spool.ts';
import type { RunningServer } from '../main.ts';
import { measureEventLoopDelay } from '../telemetry/event-loop-delay.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { listenMetrics } from '../transport/metrics-http.ts';
import { createProcessGroup, type ProcessGroup } from './group.ts';
import { closeLostConnections } from './handovers.ts';
import type { Forked } from './member.ts';
import type { MetricValues } from './messages.ts';
import { joinWithParent } from './metrics.ts';

/**
 * Starts a server of `processCount` processes.
 * @param log by default JSON lines on standard output, as those of the processes
 * @throws HyperpolicyError: a setting that is wrong; a port that cannot be had
 */
export async function startProcesses(settings: ServerSettings, log?: Logger): Promise<Omit<RunningServer, 'models'>> {
  const config = parseServerConfig(settings);
  const logger = (log ?? pino({ level: config.logLevel })).child({ process: 0 });
  const delay = measureEventLoopDelay();
  const gate = { count: 0 };
  const metrics = createMetrics({
    caches: {},
    eventLoopDelayUs: delay.meanUs,
    requestCount: () => gate.count,
    queueRowCount: () => 0,
    handles: () => undefined,
    connectionCount: () => 0,
    versions: () => [],
  });
  const doors = openDoors(config, logger, (name) => group.spent(name));
  // What all processes share is made here, once, and handed to each.
  const spool = { directory: createSpoolDirectory(config.handleDirectory), processCount: config.processCount };
  const group: ProcessGroup = createProcessGroup({
    config,
    // The parent says when to look through the store, so that all see a new version at about the same time.
    settings: { ...settings, watchMs: 0 },
    spool,
    rates: doors.rates,
    log: logger,
    fork: forkProcess,
  });
  registerGroup(group, metrics.registry);
  const free = () => {
    removeSpoolDirectory(spool.directory);
    doors.close();
    delay.stop();
  };

  const registry = {
    contentType: metrics.registry.contentType,
    metrics: async () => {
      const own = (await metrics.registry.getMetricsAsJSON()) as unknown as MetricValues[];
      return joinWithParent(own, await group.metrics()).metrics();
    },
  };
  const metricsListener = await listenMetrics(config, registry, group.notReady).catch((error: unknown) => {
    free();
    throw error;
  });
  let adminListener: Awaited<ReturnType<typeof listenAdmin>>;
  let ports: { readonly port: number; readonly httpPort: number | undefined };
  try {
    ports = await group.start();
    const models = {
      list: () => group.list().map(({ model, versions }) => ({ model, versions: versions.map(asVersion) })),
      refresh: group.refresh,
    };
    adminListener = await listenAdmin(models, { config, metrics, log: logger, gate, access: doors.admin });
  } catch (error) {
    await group.stop().catch(() => {});
    await metricsListener.close();
    free();
    throw error;
  }
  const watch = config.watchMs === 0 ? undefined : setInterval(group.look, config.watchMs);
  const { port, httpPort } = ports;
  const others = { metricsPort: metricsListener.port, adminPort: adminListener?.port, httpPort };
  logger.info({ address: addressOf(config.host, port), ...others, processCount: config.processCount }, 'serving');
  if (group.list().length === 0) logger.warn({ store: config.store, remedy: emptyStoreRemedy }, 'no model is ready');

  const stop = async () => {
    clearInterval(watch);
    logger.info({ drainMs: config.drainMs }, 'draining');
    try {
      await Promise.all([group.stop(), adminListener?.drain(config.drainMs)]);
    } finally {
      await metricsListener.close();
      free();
    }
    logger.info('stopped');
  };
  let stopped: Promise<void> | undefined;
  return {
    config,
    port,
    ...others,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

const asVersion = (version: number) => ({ version });

/** Forks a process of the server. Where the system has none to give, that is its end: it never began. */
export function forkProcess(): Forked {
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('./worker.js', import.meta.url)),
    args: [],
    // Messages hold arrays of bytes and numbers that JSON does not have.
    serialization: 'advanced',
  });
  const worker = cluster.fork();
  closeLostConnections(worker.process);
  // Of the channel, of which the end of the process tells; or it never began, and then there is no other event.
  worker.on('error', () => {
    if (worker.process.pid === undefined) worker.emit('exit', null, null);
  });
  return {
    send: (message) => worker.process.send(message),
    onMessage: (listener) => worker.on('message', listener),
    onExit: (listener) => worker.once('exit', listener),
    kill: () => worker.process.kill('SIGKILL'),
  };
}

function registerGroup(group: Pick<ProcessGroup, 'servingCount' | 'replacementCount'>, registry: Registry): void {
  const registers = [registry];
  new Gauge({
    name: 'hyperpolicy_processes',
    help: 'Processes that serve',
    registers,
    collect() {
      this.set(group.servingCount);
    },
  });
  new Counter({
    name: 'hyperpolicy_process_replacements_total',
    help: 'Processes that took the place of one that died',
    registers,
    collect() {
      this.reset();
      this.inc(group.replacementCount);
    },
  });
}
