/**
 * What the server counts, in Prometheus' form. No label holds a context, a client or a request.
 *
 * What happens at every request is counted in plain numbers and copied out when a scraper asks.
 */

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { type StatusName, statusCodes } from '../call/status.ts';
import type { HandleStore } from '../handles/handle-store.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import type { CacheCounts } from '../weights/kept-weights.ts';
import { registerHandleMetrics } from './handle-metrics.ts';
import { SlotHistogram } from './histogram.ts';
import { registerTlsMetrics, type TlsMetrics } from './tls-metrics.ts';

/** Suited to a control loop: seconds, fine below 10 ms. */
const secondBuckets = [
  0.0001, 0.0003, 0.0006, 0.001, 0.002, 0.003, 0.005, 0.008, 0.013, 0.02, 0.03, 0.05, 0.1, 0.25, 1,
];
/** Packages name their graphs' files as they like. */
const graphLabelCountMax = 32;
const rowBuckets = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/** `other` is a method that the server does not have. */
export type GrpcType = 'unary' | 'server_stream' | 'bidi_stream' | 'other';

/** Why a connection was refused or cut. */
export type EndReason = 'too_many' | 'pings';

/** Counts of one method. */
export type MethodMetrics = {
  started(): void;
  received(): void;
  sent(): void;
  /** How long writing one response took. */
  encoded(seconds: number): void;
  handled(status: StatusName, seconds: number): void;
};

/** What one method does with the requests that passed validation. */
export type WorkMetrics = {
  rows(rowCount: number): void;
  /** Waiting for generated weights, from when their run began. */
  primary(seconds: number): void;
  /** A dynamic network, or a whole plain one. */
  dynamic(seconds: number): void;
};

export type Metrics = {
  readonly registry: Registry;
  method(name: { readonly type: GrpcType; readonly service: string; readonly method: string }): MethodMetrics;
  work(method: string): WorkMetrics;
  loadResult(result: 'loaded' | 'refused', model: string): void;
  /** A fallback that was served. */
  fallback(fallback: string, reason: string): void;
  /** A run of a heavy graph, with what was joined for it. */
  heavyRun(run: { readonly name: string; readonly rowCount: number; readonly seconds: number }): void;
  /** A connection was refused or cut for what its client does. */
  connectionEnded(reason: EndReason): void;
  /** Of a port with TLS, by its name. */
  tls(port: string): TlsMetrics;
  /** A request's part of such a run has waited so long for its turn. */
  queued(graph: string, seconds: number): void;
};

export type MetricsSources = {
  readonly caches: Readonly<Record<string, ContextCache>>;
  readonly eventLoopDelayUs: () => number;
  readonly requestCount: () => number;
  /** Rows that wait for heavy graphs. */
  readonly queueRowCount: () => number;
  /** Undefined while the server starts. */
  readonly handles: () => HandleStore | undefined;
  /** Open on the gRPC port. */
  readonly connectionCount: () => number;
  /** Every version that is ready. */
  readonly versions: () => readonly {
    readonly model: string;
    readonly version: number;
    readonly publishedAtMs: number;
  }[];
};

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  registerSources(sources, registers);
  registerHandleMetrics(sources.handles, registers);

  const tls = registerTlsMetrics(registers);

  const callLabels = ['grpc_type', 'grpc_service', 'grpc_method'] as const;
  const started = new Tally(registry, 'grpc_server_started_total', 'Calls started', callLabels);
  const received = new Tally(registry, 'grpc_server_msg_received_total', 'Messages received', callLabels);
  const sent = new Tally(registry, 'grpc_server_msg_sent_total', 'Messages sent', callLabels);
  const handled = new Tally(registry, 'grpc_server_handled_total', 'Calls answered, by status code', [
    ...callLabels,
    'grpc_code',
  ]);
  const handling = new SlotHistogram({
    name: 'grpc_server_handling_seconds',
    help: 'From when the server had the message to the answer',
    labelNames: callLabels,
    buckets: secondBuckets,
    registers,
  });
  const byMethod = (name: string, help: string, buckets: number[]) =>
    new SlotHistogram({ name, help, labelNames: ['method'], buckets, registers });
  const rows = byMethod('hyperpolicy_rows', 'Rows of a request', rowBuckets);
  const primary = byMethod(
    'hyperpolicy_primary_seconds',
    'Waiting for generated weights, from when their run began',
    secondBuckets,
  );
  const dynamic = byMethod('hyperpolicy_dynamic_seconds', 'Dynamic networks, or whole plain ones', secondBuckets);
  const encode = byMethod('hyperpolicy_encode_seconds', 'Writing a response', secondBuckets);
  const loads = new Counter({
    name: 'hyperpolicy_model_loads_total',
    help: 'Model versions loaded or refused',
    labelNames: ['model', 'result'],
    registers,
  });
  const fallbacks = new Counter({
    name: 'hyperpolicy_fallbacks_total',
    help: 'Actions that stood in for one that was not there in time',
    labelNames: ['fallback', 'reason'],
    registers,
  });
  const connectionEnds = new Counter({
    name: 'hyperpolicy_connections_ended_total',
    help: 'gRPC connections refused or cut for what their client does',
    labelNames: ['reason'],
    registers,
  });
  for (const reason of ['too_many', 'pings'] as const) connectionEnds.inc({ reason }, 0);
  const byGraph = (name: string, help: string, buckets: number[]) =>
    new SlotHistogram({ name, help, labelNames: ['graph'], buckets, registers });
  const heavySeconds = byGraph('hyperpolicy_heavy_run_seconds', 'Runs of primaries and plain critics', secondBuckets);
  const batchRows = byGraph('hyperpolicy_batch_rows', 'Rows joined into one run of a heavy graph', rowBuckets);
  const queue = byGraph('hyperpolicy_queue_seconds', 'Waiting for the turn of a heavy graph', secondBuckets);
  const graphSlots = new Map<string, { seconds: Observe; rows: Observe; queued: Observe }>();
  /** Graphs are named by their files: those of `graphLabelCountMax` names, then `other`. */
  function slotsOf(graph: string) {
    let slots = graphSlots.get(graph);
    if (slots === undefined) {
      const labels = { graph: graphSlots.size < graphLabelCountMax ? graph : 'other' };
      slots = { seconds: heavySeconds.slot(labels), rows: batchRows.slot(labels), queued: queue.slot(labels) };
      if (labels.graph === graph) graphSlots.set(graph, slots);
    }
    return slots;
  }

  return {
    registry,
    method({ type, service, method }) {
      const labels = { grpc_type: type, grpc_service: service, grpc_method: method };
      const countStarted = started.slot(labels);
      const countReceived = received.slot(labels);
      const countSent = sent.slot(labels);
      const byStatus = Object.fromEntries(
        Object.keys(statusCodes).map((name) => [name, handled.slot({ ...labels, grpc_code: name })]),
      ) as Record<StatusName, Slot>;
      const observe = handling.slot(labels);
      const encoded = encode.slot({ method });
      return {
        encoded,
        started: () => {
          countStarted.count++;
        },
        received: () => {
          countReceived.count++;
        },
        sent: () => {
          countSent.count++;
        },
        handled(status, elapsed) {
          byStatus[status].count++;
          observe(elapsed);
        },
      };
    },
    work: (method) => ({
      rows: rows.slot({ method }),
      primary: primary.slot({ method }),
      dynamic: dynamic.slot({ method }),
    }),
    loadResult: (result, model) => loads.inc({ model, result }),
    fallback: (fallback, reason) => fallbacks.inc({ fallback, reason }),
    heavyRun({ name, rowCount, seconds }) {
      const slots = slotsOf(name);
      slots.seconds(seconds);
      slots.rows(rowCount);
    },
    connectionEnded: (reason) => connectionEnds.inc({ reason }),
    tls,
    queued: (graph, seconds) => slotsOf(graph).queued(seconds),
  };
}

type Observe = (value: number) => void;

type Slot = { count: number; readonly labels: Record<string, string> };

/** A counter whose slots are plain numbers. */
class Tally {
  readonly #slots: Slot[] = [];

  constructor(registry: Registry, name: string, help: string, labelNames: readonly string[]) {
    const slots = this.#slots;
    new Counter({
      name,
      help,
      labelNames: [...labelNames],
      registers: [registry],
      collect() {
        this.reset();
        for (const { labels, count } of slots) this.inc(labels, count);
      },
    });
  }

  slot(labels: Record<string, string>): Slot {
    const slot = { count: 0, labels };
    this.#slots.push(slot);
    return slot;
  }
}

function registerSources(sources: MetricsSources, registers: Registry[]): void {
  const { caches, eventLoopDelayUs, requestCount, queueRowCount, connectionCount, versions } = sources;
  const perCache = (name: string, help: string, read: (cache: ContextCache) => number) =>
    new Gauge({
      name,
      help,
      labelNames: ['cache'],
      registers,
      collect() {
        for (const [cache, source] of Object.entries(caches)) this.set({ cache }, read(source));
      },
    });
  const perCacheTotal = (name: string, help: string, field: keyof CacheCounts) =>
    new Counter({
      name,
      help,
      labelNames: ['cache'],
      registers,
      collect() {
        this.reset();
        for (const [cache, { kept }] of Object.entries(caches)) this.inc({ cache }, kept.counts[field]);
      },
    });
  perCacheTotal('hyperpolicy_context_cache_hits_total', 'Contexts whose weights were known', 'hitCount');
  perCacheTotal('hyperpolicy_context_cache_misses_total', 'Contexts whose weights were not known', 'missCount');
  perCacheTotal('hyperpolicy_context_cache_evictions_total', 'Entries that made room for others', 'evictionCount');
  perCache('hyperpolicy_context_cache_entries', 'Contexts whose weights are kept', ({ kept }) => kept.entryCount);
  perCache('hyperpolicy_context_cache_bytes', 'Bytes of weights that are kept', ({ kept }) => kept.bytes);
  perCache(
    'hyperpolicy_context_cache_arena_bytes',
    'Memory that is taken for entries and used again',
    ({ kept }) => kept.arena?.bytes ?? 0,
  );
  perCache(
    'hyperpolicy_generations_in_flight',
    'Contexts whose weights are being made',
    (cache) => cache.inFlightCount,
  );

  new Gauge({
    name: 'hyperpolicy_requests_in_flight',
    help: 'Requests being answered',
    registers,
    collect() {
      this.set(requestCount());
    },
  });
  new Gauge({
    name: 'hyperpolicy_queue_rows',
    help: 'Rows that wait for heavy graphs',
    registers,
    collect() {
      this.set(queueRowCount());
    },
  });
  new Gauge({
    name: 'hyperpolicy_connections',
    help: 'Open on the gRPC port',
    registers,
    collect() {
      this.set(connectionCount());
    },
  });
  new Gauge({
    name: 'hyperpolicy_event_loop_delay_seconds',
    help: 'How late the event loop runs, mean over the last second',
    aggregator: 'max',
    registers,
    collect() {
      this.set(eventLoopDelayUs() / 1e6);
    },
  });
  new Gauge({
    name: 'hyperpolicy_model_version_info',
    help: '1 for each version that is ready',
    labelNames: ['model', 'version'],
    aggregator: 'max',
    registers,
    collect() {
      this.reset();
      for (const { model, version } of versions()) this.set({ model, version: String(version) }, 1);
    },
  });
  new Gauge({
    name: 'hyperpolicy_weight_age_seconds',
    help: 'Time since the newest ready version of a model was published',
    labelNames: ['model'],
    aggregator: 'max',
    registers,
    collect() {
      this.reset();
      const newest = new Map<string, number>();
      for (const { model, publishedAtMs } of versions()) {
        newest.set(model, Math.max(publishedAtMs, newest.get(model) ?? publishedAtMs));
      }
      for (const [model, publishedAtMs] of newest) this.set({ model }, (Date.now() - publishedAtMs) / 1000);
    },
  });
}
