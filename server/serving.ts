/**
 * One process that serves: the models, the gRPC port and, where it is on, the HTTP port. A server is one of these with its admin and
 * metrics ports (main.ts), or several under a parent that has those (processes.ts).
 */

import type { Logger } from 'pino';
import { PolicyService } from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { GRPCInferenceService } from '../src/gen/inference/grpc_predict_v2_pb.ts';
import { type Doors, openDoors } from './access/access.ts';
import { createRequestRecorder } from './call/request-record.ts';
import { type ComputePool, createComputePool } from './compute/compute-pool.ts';
import { createExecutor } from './compute/executors.ts';
import type { ServerConfig } from './config.ts';
import { type OpenHandles, openHandles, type SpoolPart } from './handles/open-handles.ts';
import { createPolicyHandlers, type PolicyHandlers } from './methods/policy-handlers.ts';
import type { PrepareElsewhere } from './methods/prepare.ts';
import { type ModelStore, openModelStore } from './models/model-store.ts';
import { servingMethods } from './routes.ts';
import { measureEventLoopDelay } from './telemetry/event-loop-delay.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { openTracing, type Tracing } from './telemetry/tracing.ts';
import { type GrpcListener, listenGrpc } from './transport/grpc.ts';
import { Health } from './transport/health.ts';
import { type HttpListener, listenHttp } from './transport/http.ts';
import type { MethodDeps } from './transport/invocation.ts';
import { BlockArena } from './weights/block-arena.ts';
import { ContextCache } from './weights/context-cache.ts';

/** What a process is given that is one of several. */
export type Membership = {
  /** Of context handles. */
  readonly spool: SpoolPart;
  readonly prepareElsewhere?: PrepareElsewhere;
  /** A request of a token with a rate was let in, for the others to count. */
  readonly onSpent?: (name: string) => void;
};

export type Serving = {
  readonly metrics: Metrics;
  /** Why it cannot answer; undefined where it can. */
  notReady(): string | undefined;
  /**
   * Loads the models, then listens. Where it throws, everything is freed.
   * @param onLoaded between the two: nobody is answered yet
   * @throws HyperpolicyError: a setting that is wrong; a port that cannot be had
   */
  start(onLoaded?: (loaded: Loaded) => Promise<unknown>): Promise<Started>;
  /** Not ready from now on; answers what is in flight, for at most `drainMs`. */
  drain(): Promise<void>;
  /** Frees everything. */
  close(): Promise<void>;
};

export type Started = Loaded & {
  /** The ports that were bound, where the settings say 0. */
  readonly port: number;
  readonly httpPort: number | undefined;
};

export type Loaded = {
  readonly models: ModelStore;
  readonly handlers: PolicyHandlers;
  /** With which other methods can be served. */
  readonly deps: MethodDeps;
  readonly doors: Doors;
};

/** @param membership where the process is one of several */
export function createServing(config: ServerConfig, log: Logger, membership?: Membership): Serving {
  const timeToLiveMs = config.contextTimeToLiveMs;
  const contextCache = new ContextCache({ bytesMax: config.contextCacheBytesMax, timeToLiveMs });
  const criticCache = new ContextCache({
    bytesMax: config.criticCacheBytesMax,
    arena: new BlockArena(config.criticCacheBytesMax),
    timeToLiveMs,
  });
  const delay = measureEventLoopDelay();
  const gate = { count: 0 };
  let models: ModelStore | undefined;
  let pool: ComputePool | undefined;
  let handles: OpenHandles | undefined;
  let listener: GrpcListener | undefined;
  let httpListener: HttpListener | undefined;
  let doors: Doors | undefined;
  let tracing: Tracing | undefined;
  const metrics = createMetrics({
    caches: { policy: contextCache, critic: criticCache },
    eventLoopDelayUs: delay.meanUs,
    requestCount: () => gate.count,
    queueRowCount: () => pool?.queueRowCount ?? 0,
    handles: () => handles?.store,
    connectionCount: () => listener?.connectionCount ?? 0,
    versions: () => models?.list().flatMap(({ versions }) => versions) ?? [],
  });
  const executor = createExecutor({
    workerCount: config.workerCount,
    session: { threadCount: config.threadCount, device: config.device },
    onOpen: (opened) => log.info({ ...opened, asked: config.device }, 'heavy graph open'),
  });
  const health = new Health([PolicyService.typeName, GRPCInferenceService.typeName]);
  let draining = false;
  let listening = false;

  async function start(onLoaded?: (loaded: Loaded) => Promise<unknown>): Promise<Started> {
    const { traceEndpoint } = config;
    if (traceEndpoint !== null) {
      const { traceRatio: ratio, traceQueueCountMax: queueCountMax } = config;
      tracing = await openTracing({ endpoint: traceEndpoint, ratio, queueCountMax, log });
    }
    doors = openDoors(config, log, membership?.onSpent);
    pool = createComputePool({
      executor,
      batchRowCountMax: config.batchRowCountMax,
      batchDelayMs: config.batchDelayMs,
      queueRowCountMax: config.queueRowCountMax,
      onRun: metrics.heavyRun,
      onWait: metrics.queued,
    });
    handles = openHandles(config, membership?.spool, log);
    if (membership !== undefined) await handles.store.adopt();
    const ready = await openModelStore({
      config,
      networks: {
        pool,
        inline: { threadCount: 1 },
        contextCache,
        criticCache,
      },
      log,
      onLoad: metrics.loadResult,
      onChange: (modelCount) => health.set(modelCount > 0 && listening && !draining),
    });
    models = ready;
    const recorder = createRequestRecorder({ log, requestLogEvery: config.requestLogEvery, tracer: tracing?.tracer });
    const deps: MethodDeps = { config, metrics, log, gate, access: doors.serving, recorder };
    const handlers = createPolicyHandlers({
      models,
      handleStore: handles.store,
      config,
      metrics,
      eventLoopDelayUs: delay.meanUs,
      prepareElsewhere: membership?.prepareElsewhere,
    });
    const loaded = { models: ready, handlers, deps, doors };
    await onLoaded?.(loaded);
    const methods = servingMethods({ models, handlers, health, deps });
    listener = await listenGrpc(methods, config, { metrics, log, port: config.port, setting: 'port' });
    if (config.httpPort !== null) httpListener = await listenHttp(handlers, config.httpPort, deps);
    listening = true;
    health.set(models.list().length > 0);
    return { port: listener.port, httpPort: httpListener?.port, ...loaded };
  }

  async function close(): Promise<void> {
    await Promise.all([listener?.drain(0), httpListener?.drain(0)]);
    await tracing?.close(listening ? config.drainMs : 0);
    await models?.close();
    handles?.close();
    await executor.dispose();
    doors?.close();
    delay.stop();
  }

  return {
    metrics,
    notReady() {
      if (draining) return 'draining';
      if (models === undefined) return 'loading';
      return models.list().length === 0 ? 'no model is ready' : undefined;
    },
    start: (onLoaded) =>
      start(onLoaded).catch(async (error: unknown) => {
        await close();
        throw error;
      }),
    async drain() {
      draining = true;
      health.set(false);
      log.info({ requestCount: gate.count, drainMs: config.drainMs }, 'draining');
      await Promise.all([listener?.drain(config.drainMs), httpListener?.drain(config.drainMs)]);
      listener = undefined;
      httpListener = undefined;
    },
    close,
  };
}
