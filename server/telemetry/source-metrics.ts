/** What is read from the server's parts when a scraper asks: caches, load, versions. */

import { Counter, Gauge, type Registry } from 'prom-client';
import type { HandleStore } from '../handles/handle-store.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import type { CacheCounts } from '../weights/kept-weights.ts';
import { registerHandleMetrics } from './handle-metrics.ts';

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

export function registerSources(sources: MetricsSources, registers: Registry[]): void {
  registerCaches(sources, registers);
  registerLoad(sources, registers);
  registerVersions(sources, registers);
  registerHandleMetrics(sources.handles, registers);
}

function registerCaches({ caches }: MetricsSources, registers: Registry[]): void {
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
}

function registerLoad(sources: MetricsSources, registers: Registry[]): void {
  const { eventLoopDelayUs, requestCount, queueRowCount, connectionCount } = sources;
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
}

function registerVersions({ versions }: MetricsSources, registers: Registry[]): void {
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
