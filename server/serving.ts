/**
 * One serving process: the models, the gRPC port and, if it is on, the HTTP port. A server is either one of these with an admin and a
 * metrics port (main.ts), or several under a parent that has those ports (processes/processes.ts).
 */

import type { Logger } from 'pino';
import { PolicyService } from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { GRPCInferenceService } from '../src/gen/inference/grpc_predict_v2_pb.ts';
import { BlockArena } from '../src/memory/block-arena.ts';
import { measureEventLoopDelay } from '../src/metrics/event-loop-delay.ts';
import { setPrecision } from '../src/onnx/precision.ts';
import { candidates } from '../src/onnx/providers.ts';
import { createWorkerPool, type WorkerPool } from '../src/onnx/worker-pool.ts';
import { strandedCount } from '../src/onnx/worker-thread.ts';
import { readTraceSettings } from '../src/tracing/trace-settings.ts';
import { type Doors, openDoors } from './access/access.ts';
import { createRequestRecorder, type Tracer } from './call/request-record.ts';
import { ComputePool } from './compute/compute-pool.ts';
import { type ServerConfig, stuckThreadCountMax } from './config.ts';
import { type OpenHandles, openHandles, type SpoolPart } from './handles/open-handles.ts';
import { createPolicyHandlers, type PolicyHandlers } from './methods/policy-handlers.ts';
import type { PrepareElsewhere } from './methods/prepare.ts';
import type { TriedVersion } from './models/load.ts';
import { ModelStore, type ReadyModel } from './models/model-store.ts';
import type { Trial } from './models/package-loader.ts';
import { servingMethods } from './routes.ts';
import { createMetrics, type Metrics } from './telemetry/metrics.ts';
import { openTracing, type Tracing } from './telemetry/tracing.ts';
import { type GrpcListener, listenGrpc } from './transport/grpc.ts';
import { Health } from './transport/health.ts';
import { type HttpListener, listenHttp } from './transport/http.ts';
import { createGate, type MethodDeps, type RequestGate } from './transport/invocation.ts';
import { ContextCache } from './weights/context-cache.ts';

/** Given to a process that is one of several. */
export type Membership = {
  /** For context handles. */
  readonly spool: SpoolPart;
  readonly prepareElsewhere?: PrepareElsewhere;
  /** Called when a request of a token with a rate was accepted, so that the other processes count it. */
  readonly onSpent?: (name: string) => void;
  /** Called after each look at the store. */
  readonly onModels?: (models: KnownModels) => void;
};

/** What a process serves, and what it may serve later. */
export type KnownModels = { readonly ready: readonly ReadyModel[]; readonly trying: readonly TriedVersion[] };

export type Started = Loaded & {
  /** The ports that were bound; they differ from the settings if these say 0. */
  readonly port: number;
  readonly httpPort: number | undefined;
};

export type Loaded = {
  readonly models: ModelStore;
  readonly handlers: PolicyHandlers;
  /** For further methods. */
  readonly deps: MethodDeps;
  readonly doors: Doors;
};

export class Serving {
  readonly metrics: Metrics;
  readonly #config: ServerConfig;
  readonly #log: Logger;
  readonly #membership: Membership | undefined;
  readonly #delay = measureEventLoopDelay();
  /** Of the policy service and the Open Inference Protocol, without their probes. */
  readonly #gate: RequestGate;
  readonly #health = new Health([PolicyService.typeName, GRPCInferenceService.typeName]);
  readonly #caches: Readonly<Record<'policy' | 'critic', ContextCache>>;
  #handlers: PolicyHandlers | undefined;
  #spans: Tracing['counts'] | undefined;
  #phase: 'loading' | 'serving' | 'draining' = 'loading';
  #pool: ComputePool | undefined;
  #handles: OpenHandles | undefined;
  #models: ModelStore | undefined;
  #listener: GrpcListener | undefined;
  #httpListener: HttpListener | undefined;
  /** Each frees what was opened, in the order of opening. */
  readonly #closers: (() => unknown)[] = [this.#delay.stop];

  /** @param membership if the process is one of several */
  constructor(config: ServerConfig, log: Logger, membership?: Membership) {
    this.#config = config;
    this.#log = log;
    this.#membership = membership;
    this.#gate = createGate(config.requestCountMax);
    const { contextCacheBytesMax, criticCacheBytesMax, contextTimeToLiveMs: timeToLiveMs } = config;
    const arena = new BlockArena(criticCacheBytesMax);
    this.#caches = {
      policy: new ContextCache({ bytesMax: contextCacheBytesMax, timeToLiveMs }),
      critic: new ContextCache({ bytesMax: criticCacheBytesMax, arena, timeToLiveMs }),
    };
    this.metrics = createMetrics({
      eventLoopDelayUs: this.#delay.meanUs,
      serving: {
        config,
        requestCount: () => this.#gate.count + (this.#listener?.unreadCount ?? 0),
        streamRequestCount: () => this.#listener?.streamRequestCount ?? 0,
        caches: this.#caches,
        queues: () => this.#pool?.queues ?? [],
        handles: () => this.#handles?.store,
        connectionCount: () => this.#listener?.connectionCount ?? 0,
        httpConnectionCount: () => this.#httpListener?.connectionCount ?? 0,
        spans: () => this.#spans,
        stuckThreadCount: strandedCount,
        heldActionCount: () => this.#handlers?.lastActions.size ?? 0,
        versions: () => this.#models?.list().flatMap(({ versions }) => versions) ?? [],
        trying: this.trying,
        isModelGone: (model) => this.#models?.isGone(model) ?? false,
      },
    });
  }

  /** Versions that take long to load: the server does not wait for them. */
  readonly trying = (): readonly TriedVersion[] => this.#models?.trying ?? [];

  /** Why it is not ready; undefined if it is. */
  readonly notReady = (): string | undefined => {
    // The ports listen when the models are loaded, but for those that take long.
    if (this.#phase !== 'serving') return this.#phase;
    return this.#models!.list().length === 0 ? 'no model is ready' : undefined;
  };

  /**
   * Loads the models, then listens. If it throws, everything is freed.
   * @param onLoaded called between the two
   * @throws HyperpolicyError: a wrong setting; a port that cannot be had
   */
  async start(onLoaded?: (loaded: Loaded) => Promise<unknown>): Promise<Started> {
    try {
      const loaded = await this.#load();
      await onLoaded?.(loaded);
      return { ...loaded, ...(await this.#listen(loaded)) };
    } catch (error) {
      await this.close();
      throw error;
    }
  }

  async #load(): Promise<Loaded> {
    const [config, log, metrics, membership] = [this.#config, this.#log, this.metrics, this.#membership];
    const tracer = await this.#openTracer();
    const doors = openDoors(config, log, {
      onSpent: membership?.onSpent,
      onRead: (result) => metrics.reloaded('tokens', result),
    });
    this.#closers.push(doors.close);
    const pool = this.#openPool();
    const handles = await openHandles(config, membership?.spool, log);
    this.#handles = handles;
    this.#closers.push(() => handles.close());
    if (membership !== undefined) await handles.store.adopt();
    const models = this.#createStore(pool);
    this.#models = models;
    this.#closers.push(() => models.close());
    await models.open();
    const recorder = createRequestRecorder({ log, requestLogEvery: config.requestLogEvery, tracer });
    const handlers = createPolicyHandlers({
      models,
      handleStore: handles.store,
      config,
      metrics,
      eventLoopDelayUs: this.#delay.meanUs,
      prepareElsewhere: membership?.prepareElsewhere,
    });
    this.#handlers = handlers;
    const deps = { config, metrics, log, gate: this.#gate, access: doors.serving, recorder };
    return { models, handlers, deps, doors };
  }

  #createStore(pool: ComputePool): ModelStore {
    const [config, log, metrics] = [this.#config, this.#log, this.metrics];
    return new ModelStore({
      config,
      networks: {
        pool,
        inline: { threadCount: 1, foreign: true },
        precision: config.precision,
        newRows: config.newRows,
        contextCache: this.#caches.policy,
        criticCache: this.#caches.critic,
        labels: metrics.versions,
      },
      openTrial: () => this.#openTrial(),
      stuckCount: strandedCount,
      stuckCountMax: stuckThreadCountMax(config),
      devices: candidates(config.device),
      log,
      onLoad: metrics.loadResult,
      onLabels: (result) => metrics.reloaded('labels', result),
      onDeviceFallback: metrics.deviceFallback,
      onChange: (modelCount) => {
        this.#health.set(modelCount > 0 && this.#phase === 'serving');
        this.#membership?.onModels?.({ ready: this.#models!.ready(), trying: this.trying() });
      },
    });
  }

  async #openTracer(): Promise<Tracer | undefined> {
    const { traceQueueCountMax: queueCountMax, drainMs } = this.#config;
    const settings = readTraceSettings(this.#config, process.env, this.#log);
    if (settings === undefined) return undefined;
    const tracing = await openTracing({ ...settings, queueCountMax, log: this.#log });
    this.#spans = tracing.counts;
    this.#closers.push(() => tracing.close(this.#phase === 'loading' ? 0 : drainMs));
    return tracing.tracer;
  }

  #createExecutor(workerCount: number, onReady?: () => void): WorkerPool {
    const { threadCount, runMsMax, loadMsMax } = this.#config;
    return createWorkerPool({
      workerCount,
      queueCountMax: workerCount,
      session: { threadCount, foreign: true },
      runMsMax,
      loadMsMax,
      onReady,
      onGivenUp: this.metrics.threadGivenUp,
    });
  }

  #openTrial(): Trial {
    const executor = this.#createExecutor(1);
    const pool = new ComputePool({ ...this.#config, executor });
    return { pool, close: () => executor.dispose() };
  }

  #openPool(): ComputePool {
    const { workerCount, device, precision } = this.#config;
    setPrecision(precision);
    const executor = this.#createExecutor(workerCount, () => this.#pool?.wake());
    this.#closers.push(() => executor.dispose());
    this.#pool = new ComputePool({
      ...this.#config,
      executor,
      onOpen: (opened) => this.#log.info({ ...opened, asked: device }, 'heavy graph open'),
      onRun: this.metrics.heavyRun,
      onWait: this.metrics.queued,
    });
    return this.#pool;
  }

  async #listen({ models, handlers, deps }: Loaded): Promise<{ port: number; httpPort: number | undefined }> {
    const [config, health] = [this.#config, this.#health];
    const methods = servingMethods({ models, handlers, health, deps });
    this.#listener = await listenGrpc(methods, config, { ...deps, port: config.port, setting: 'port' });
    this.#closers.push(() => this.#listener?.drain(0));
    this.#closers.push(() => this.#httpListener?.drain(0));
    if (config.httpPort !== null) this.#httpListener = await listenHttp(handlers, config.httpPort, deps);
    this.#phase = 'serving';
    health.set(models.list().length > 0);
    return { port: this.#listener.port, httpPort: this.#httpListener?.port };
  }

  /** Not ready from now on; requests in flight finish, for at most `drainMs`. */
  async drain(): Promise<void> {
    const { drainMs } = this.#config;
    this.#phase = 'draining';
    this.#health.set(false);
    this.#log.info({ requestCount: this.#gate.count, drainMs }, 'draining');
    await Promise.all([this.#listener?.drain(drainMs), this.#httpListener?.drain(drainMs)]);
    this.#listener = undefined;
    this.#httpListener = undefined;
  }

  /** Frees everything, in the reverse order of opening. */
  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) await close();
  }
}
