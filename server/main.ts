/** The server as a whole: opens the store, wires the methods, listens, and stops in order. */

import pino, { type Logger } from 'pino';
import { PolicyService } from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { GRPCInferenceService } from '../src/gen/inference/grpc_predict_v2_pb.ts';
import { adminAccess, openAccess, tokenAccess } from './access.ts';
import { createAdmin } from './admin.ts';
import { type ComputePool, createComputePool } from './compute-pool.ts';
import { parseServerConfig, type ServerConfig, type ServerSettings } from './config.ts';
import { createContextCache } from './context-cache.ts';
import { measureEventLoopDelay } from './event-loop-delay.ts';
import { createExecutor } from './executors.ts';
import { type GrpcListener, listenGrpc } from './grpc.ts';
import type { OpenStreams } from './grpc-streams.ts';
import { createHealth } from './health.ts';
import { listenHttp } from './http.ts';
import { adminMethods, servingMethods } from './methods.ts';
import { createMetrics } from './metrics.ts';
import { listenMetrics } from './metrics-http.ts';
import { type ModelStore, openModelStore } from './model-store.ts';
import { createObserver } from './observation.ts';
import { type OpenHandles, openHandles, type SharedSpool } from './open-handles.ts';
import { createPolicyHandlers } from './policy-handlers.ts';
import { openTokens } from './tokens.ts';
import { openTracing } from './tracing.ts';

/** How often the tokens file is looked at for a change. */
const tokensRefreshMs = 5000;

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
 * @param spool of context handles, where several processes share one; else this process makes its own
 * @throws HyperpolicyError: a setting that is wrong; a port that cannot be had
 */
export async function startServer(settings: ServerSettings, log?: Logger, spool?: SharedSpool): Promise<RunningServer> {
  const config = parseServerConfig(settings);
  const logger = log ?? pino({ level: config.logLevel });
  const { traceEndpoint } = config;
  const tracing =
    traceEndpoint === null
      ? undefined
      : await openTracing({
          endpoint: traceEndpoint,
          ratio: config.traceRatio,
          queueCountMax: config.traceQueueCountMax,
          log: logger,
        });
  const timeToLiveMs = config.contextTimeToLiveMs;
  const contextCache = createContextCache({ bytesMax: config.contextCacheBytesMax, timeToLiveMs });
  const criticCache = createContextCache({ bytesMax: config.criticCacheBytesMax, timeToLiveMs });
  const tokens = config.tokensFile === null ? undefined : openTokens(config.tokensFile, logger);
  const tokensTimer = tokens && setInterval(tokens.refresh, tokensRefreshMs);
  tokensTimer?.unref();
  const delay = measureEventLoopDelay();
  const gate = { count: 0 };
  const openStreams: OpenStreams = new Set();
  let models: ModelStore | undefined;
  let pool: ComputePool | undefined;
  let handles: OpenHandles | undefined;
  let listener: GrpcListener | undefined;
  const metrics = createMetrics({
    caches: { policy: contextCache, critic: criticCache },
    eventLoopDelayUs: delay.meanUs,
    requestCount: () => gate.count,
    queueRowCount: () => pool?.queueRowCount ?? 0,
    handles: () => handles?.store,
    connectionCount: () => listener?.connectionCount ?? 0,
    versions: () => models?.list().flatMap(({ versions }) => versions) ?? [],
  });
  const health = createHealth([PolicyService.typeName, GRPCInferenceService.typeName]);
  let draining = false;
  let listening = false;

  // The metrics port comes first: a server that loads large models is alive, and not ready.
  const metricsListener = await listenMetrics({
    host: config.host,
    port: config.metricsPort,
    registry: metrics.registry,
    notReady: () =>
      draining
        ? 'draining'
        : models === undefined
          ? 'loading'
          : models.list().length === 0
            ? 'no model is ready'
            : undefined,
  });
  const inline = { threadCount: 1 };
  const executor = createExecutor({
    workerCount: config.workerCount,
    session: { threadCount: config.threadCount, device: config.device },
    onOpen: (opened) => logger.info({ ...opened, asked: config.device }, 'heavy graph open'),
  });
  pool = createComputePool({
    executor,
    batchRowCountMax: config.batchRowCountMax,
    queueRowCountMax: config.queueRowCountMax,
    onRun: metrics.heavyRun,
    onWait: metrics.queued,
  });
  try {
    handles = openHandles(config, spool);
    const handleStore = handles.store;
    models = await openModelStore({
      config,
      networks: { pool, inline, expectsMore: () => gate.count > 1 || openStreams.size > 0, contextCache, criticCache },
      log: logger,
      onLoad: metrics.loadResult,
      onChange: (modelCount) => health.set(modelCount > 0 && listening && !draining),
    });
    const access = tokens === undefined ? openAccess : tokenAccess(tokens);
    const observer = createObserver({
      log: logger,
      requestLogEvery: config.requestLogEvery,
      tracer: tracing?.tracer,
    });
    const deps = { config, metrics, log: logger, gate, access, observer };
    const handlers = createPolicyHandlers({ models, handleStore, config, metrics, eventLoopDelayUs: delay.meanUs });
    const sources = { models, handlers, health, deps, openStreams };
    const unknown = metrics.method({ type: 'other', service: 'other', method: 'other' });
    const shared = { unknown, log: logger, onConnectionEnd: metrics.connectionEnded };
    listener = await listenGrpc(servingMethods(sources), config, { ...shared, port: config.port, setting: 'port' });
    const grpcListener = listener;
    const adminListener =
      config.adminPort === null
        ? undefined
        : await listenGrpc(
            adminMethods(createAdmin(config.store, models), {
              ...deps,
              access: tokens === undefined ? openAccess : adminAccess(tokens),
            }),
            config,
            { ...shared, port: config.adminPort, setting: 'admin port' },
          ).catch(async (error: unknown) => {
            await grpcListener.drain(0);
            throw error;
          });
    const httpListener =
      config.httpPort === null
        ? undefined
        : await listenHttp(handlers, config.httpPort, deps).catch(async (error: unknown) => {
            await Promise.all([grpcListener.drain(0), adminListener?.drain(0)]);
            throw error;
          });
    listening = true;
    health.set(models.list().length > 0);
    const ready = models;
    logger.info(
      {
        address: `${config.host}:${grpcListener.port}`,
        metricsPort: metricsListener.port,
        adminPort: adminListener?.port,
        httpPort: httpListener?.port,
      },
      'serving',
    );

    let stopped: Promise<void> | undefined;
    const stop = async () => {
      draining = true;
      health.set(false);
      health.close();
      logger.info({ requestCount: gate.count, drainMs: config.drainMs }, 'draining');
      const drained = grpcListener.drain(config.drainMs);
      for (const stream of openStreams) stream.drain();
      await Promise.all([drained, httpListener?.drain(config.drainMs)]);
      await adminListener?.drain(0);
      await tracing?.close(config.drainMs);
      await ready.close();
      handles?.close();
      await executor.dispose();
      await metricsListener.close();
      delay.stop();
      clearInterval(tokensTimer);
      logger.info('stopped');
    };
    return {
      config,
      port: grpcListener.port,
      metricsPort: metricsListener.port,
      adminPort: adminListener?.port,
      httpPort: httpListener?.port,
      models: ready,
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    await tracing?.close(0);
    await models?.close();
    handles?.close();
    await executor.dispose();
    await metricsListener.close();
    delay.stop();
    throw error;
  }
}
