/**
 * A server of several processes that share its ports. This process is their parent: it answers no requests of the serving ports, and has
 * the admin port and the metrics port, because these are about the server as a whole.
 */

import cluster from 'node:cluster';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { createSpoolDirectory } from '../../src/files/spool.ts';
import { closeLostConnections } from '../../src/messages/handovers.ts';
import { measureEventLoopDelay } from '../../src/metrics/event-loop-delay.ts';
import { joinWithParent, type MetricValues } from '../../src/metrics/joined.ts';
import { registerReadings } from '../../src/metrics/readings.ts';
import { openDoors } from '../access/access.ts';
import { parseServerConfig, type ServerSettings } from '../config.ts';
import { clockOffset } from '../handles/open-handles.ts';
import type { AdminModels } from '../models/admin.ts';
import { type RunningServer, runServer } from '../running.ts';
import { createLog } from '../telemetry/log.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { ProcessGroup } from './group.ts';
import type { Forked } from './member.ts';

/**
 * Starts a server of `processCount` processes.
 * @param log by default JSON lines on standard output, as those of the processes
 * @throws HyperpolicyError: a wrong setting; a port that cannot be had
 */
export async function startProcesses(settings: ServerSettings, log?: Logger): Promise<RunningServer> {
  const config = parseServerConfig(settings);
  const logger = (log ?? createLog(config.logLevel)).child({ process: 0 });
  const delay = measureEventLoopDelay();
  const metrics = createMetrics({ eventLoopDelayUs: delay.meanUs });
  const doors = openDoors(config, logger, { onSpent: (name) => group.spent(name) });
  // Shared by all processes, so it is made here.
  const directory = await createSpoolDirectory(config.handleDirectory, 'handles');
  const spool = { directory: directory.path, processCount: config.processCount, clockOffsetMs: clockOffset() };
  const group: ProcessGroup = new ProcessGroup({
    config,
    // The parent says when to scan the store, so that all see a new version at about the same time.
    settings: { ...settings, watchMs: 0 },
    spool,
    rates: doors.rates,
    log: logger,
    fork: forkProcess,
  });
  registerGroup(group, metrics.registry);
  const models: AdminModels = { ready: () => group.list(), refresh: (asked) => group.refresh(asked) };
  let watch: NodeJS.Timeout | undefined;
  return runServer({
    config,
    log: logger,
    registry: {
      contentType: metrics.registry.contentType,
      metrics: () => joinedMetrics(metrics.registry, group),
    },
    notReady: () => group.notReady(),
    trying: () => group.trying(),
    async start() {
      const ports = await group.start();
      if (config.watchMs > 0) watch = setInterval(() => group.look(), config.watchMs);
      return { ...ports, models, deps: { config, metrics, log: logger, access: doors.admin } };
    },
    drain() {
      clearInterval(watch);
      logger.info({ drainMs: config.drainMs }, 'draining');
      return group.stop();
    },
    async close() {
      clearInterval(watch);
      // For a failed start. After a drain no process is left, and failures have been reported.
      await group.stop().catch(() => {});
      directory.remove();
      doors.close();
      delay.stop();
    },
  });
}

async function joinedMetrics(registry: Registry, group: ProcessGroup): Promise<string> {
  const own = (await registry.getMetricsAsJSON()) as unknown as MetricValues[];
  return joinWithParent(own, await group.metrics()).metrics();
}

/** Forks a process of the server. A process that cannot be started counts as one that has ended. */
export function forkProcess(): Forked {
  cluster.setupPrimary({
    exec: fileURLToPath(new URL('./worker.js', import.meta.url)),
    args: [],
    // Messages have typed arrays and numbers that JSON does not support.
    serialization: 'advanced',
  });
  const worker = cluster.fork();
  closeLostConnections(worker.process);
  // Either the channel broke, and `exit` follows; or the process did not start, and no other event follows.
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
  const serving = { name: 'hyperpolicy_processes', help: 'Processes that serve', type: 'gauge' } as const;
  registerReadings(registry, serving, () => [{ labels: {}, value: group.servingCount }]);
  const help = 'Processes that took the place of one that died';
  const replaced = { name: 'hyperpolicy_process_replacements_total', help, type: 'counter' } as const;
  registerReadings(registry, replaced, () => [{ labels: {}, value: group.replacementCount }]);
}
