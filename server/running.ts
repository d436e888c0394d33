/** Starts and stops a server of one or several processes: first the metrics port, then the serving part, then the admin port. */

import type { Logger } from 'pino';
import { emptyStoreRemedy } from '../src/contract/errors.ts';
import { addressOf, portInUse } from '../src/contract/ports.ts';
import { AdminService } from '../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { listenForMetrics } from '../src/metrics/metrics-listener.ts';
import type { ServerConfig } from './config.ts';
import { type AdminModels, createAdminHandlers } from './models/admin.ts';
import type { TriedVersion } from './models/load.ts';
import { adminMethods } from './routes.ts';
import { listenGrpc } from './transport/grpc.ts';
import { Health } from './transport/health.ts';
import { createGate, type MethodDeps, ownGateCountMax } from './transport/invocation.ts';
import { checkCertificates } from './transport/tls.ts';

export type RunningServer = {
  readonly config: ServerConfig;
  /** The ports that were bound; they differ from the settings if these say 0. */
  readonly port: number;
  readonly metricsPort: number;
  /** Undefined if it is off. */
  readonly adminPort: number | undefined;
  readonly httpPort: number | undefined;
  /** Not ready from now on; requests in flight finish, for at most `drainMs`; frees everything. A second call waits for the first. */
  stop(): Promise<void>;
};

/** The admin port has a gate of its own. */
type AdminDeps = Omit<MethodDeps, 'gate'>;

/** The serving part of a server. */
export type RunningParts = {
  /** Shown at `/metrics`. */
  readonly registry: Parameters<typeof listenForMetrics>[0];
  /** Why it is not ready; undefined if it is. */
  readonly notReady: () => string | undefined;
  /** Versions that it may serve later. */
  readonly trying: () => readonly TriedVersion[];
  readonly config: ServerConfig;
  readonly log: Logger;
  /** Resolves when requests are answered. */
  start(): Promise<{
    readonly port: number;
    readonly httpPort: number | undefined;
    readonly models: AdminModels;
    /** For the methods of the admin port. */
    readonly deps: AdminDeps;
  }>;
  /** Resolves when requests in flight have finished. */
  drain(): Promise<unknown>;
  /** Frees everything, also after a failed start. */
  close(): Promise<void>;
};

/** @throws HyperpolicyError: a wrong setting; a port that cannot be had. Everything is freed then */
export async function runServer(parts: RunningParts): Promise<RunningServer> {
  const { config, log } = parts;
  const { host, store, adminPort, drainMs } = config;
  // The metrics port comes first: while large models load, the server is alive but not ready.
  const open = async () => {
    // Before models load. The ports read the files again.
    checkCertificates(config, log);
    return listenMetrics(parts);
  };
  const metrics = await open().catch(async (error: unknown) => {
    await parts.close();
    throw error;
  });
  const close = async () => {
    await parts.close();
    await metrics.close();
  };
  const listen = async () => {
    const { port, httpPort, models, deps } = await parts.start();
    const admin = adminPort === null ? undefined : await listenAdmin(adminPort, models, deps);
    return { port, httpPort, models, admin };
  };
  const { port, httpPort, models, admin } = await listen().catch(async (error: unknown) => {
    await close();
    throw error;
  });
  const ports = { metricsPort: metrics.port, adminPort: admin?.port, httpPort };
  const { processCount } = config;
  log.info({ address: addressOf(host, port), ...ports, ...(processCount > 1 && { processCount }) }, 'serving');
  if (models.ready().length === 0) {
    const remedy = `If versions were refused or take long, the lines above say so. ${emptyStoreRemedy}`;
    log.warn({ store, remedy }, 'no model is ready');
  }

  const stop = async () => {
    try {
      await Promise.all([parts.drain(), admin?.drain(drainMs)]);
    } finally {
      await close();
    }
    log.info('stopped');
  };
  let stopped: Promise<void> | undefined;
  return {
    config,
    port,
    ...ports,
    stop: () => {
      stopped ??= stop();
      return stopped;
    },
  };
}

/**
 * Opens the admin port, for the models of one process or of all. Its health is SERVING until it drains, even if no model is ready.
 * @param deps with the access of admins
 * @throws HyperpolicyError as listenGrpc
 */
async function listenAdmin(port: number, models: AdminModels, ofPort: AdminDeps) {
  const deps = { ...ofPort, gate: createGate(ownGateCountMax) };
  const { config, metrics, log } = deps;
  const health = new Health([AdminService.typeName]);
  const methods = adminMethods(createAdminHandlers(config.store, models, log), { health, deps });
  const listener = await listenGrpc(methods, config, { metrics, log, port, setting: 'admin port' });
  health.set(true);
  return {
    port: listener.port,
    drain(drainMs: number) {
      health.set(false);
      return listener.drain(drainMs);
    },
  };
}

/** `/metrics`, `/healthz` (the process runs) and `/readyz` (it can answer; what is still tried), over HTTP. @throws HyperpolicyError failed_precondition if the port cannot be had */
const listenMetrics = ({ config: { host, metricsPort, httpHosts }, registry, notReady, trying }: RunningParts) =>
  listenForMetrics(registry, {
    host,
    port: metricsPort,
    otherHosts: httpHosts,
    hostRemedy: 'Name it with --http-host',
    pages: {
      '/healthz': () => [200, 'ok\n'],
      '/readyz': () => {
        const reason = notReady();
        const others = trying().map(
          ({ model, version }) => `version ${version} of model "${model}" takes long to load`,
        );
        return [reason === undefined ? 200 : 503, `${[reason ?? 'ready', ...others].join('\n')}\n`];
      },
    },
    refusal: portInUse('metrics port'),
  });
