/** What is read from the server's parts when a scraper asks: caches, load, handles, versions. */

import type { Registry } from 'prom-client';
import type { HandleStore } from '../handles/handle-store.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import { type Reading, type ReadMetric, registerReadings } from './readings.ts';

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
    readonly device: string;
    readonly precision: string;
  }[];
};

export function registerSources(sources: MetricsSources, registry: Registry): void {
  const { eventLoopDelayUs, handles, versions } = sources;
  const registerAs =
    (about: Pick<ReadMetric, 'type' | 'aggregator'>) => (name: string, help: string, read: () => readonly Reading[]) =>
      registerReadings(registry, { name: `hyperpolicy_${name}`, help, ...about }, read);
  const total = registerAs({ type: 'counter' });
  const gauge = registerAs({ type: 'gauge' });
  const largest = registerAs({ type: 'gauge', aggregator: 'max' });
  const cached = (read: (cache: ContextCache) => number) => () =>
    Object.entries(sources.caches).map(([cache, one]) => ({ labels: { cache }, value: read(one) }));

  total(
    'context_cache_hits_total',
    'Contexts whose weights were known',
    cached(({ kept }) => kept.counts.hitCount),
  );
  total(
    'context_cache_misses_total',
    'Contexts whose weights were not known',
    cached(({ kept }) => kept.counts.missCount),
  );
  total(
    'context_cache_evictions_total',
    'Entries that made room for others',
    cached(({ kept }) => kept.counts.evictionCount),
  );
  gauge(
    'context_cache_entries',
    'Contexts whose weights are kept',
    cached(({ kept }) => kept.entryCount),
  );
  gauge(
    'context_cache_bytes',
    'Bytes of weights that are kept',
    cached(({ kept }) => kept.bytes),
  );
  gauge(
    'context_cache_arena_bytes',
    'Memory that is taken for entries and used again',
    cached(({ kept }) => kept.arena?.bytes ?? 0),
  );
  gauge(
    'generations_in_flight',
    'Contexts whose weights are being made',
    cached((cache) => cache.inFlightCount),
  );

  gauge(
    'requests_in_flight',
    'Requests being answered, and answers that wait to be read',
    single(sources.requestCount),
  );
  gauge('queue_rows', 'Rows that wait for heavy graphs', single(sources.queueRowCount));
  gauge('connections', 'Open on the gRPC port', single(sources.connectionCount));
  const delaySeconds = () => eventLoopDelayUs() / 1e6;
  largest('event_loop_delay_seconds', 'How late the event loop runs, mean over the last second', single(delaySeconds));

  const handleCount = () => handles()?.entryCount ?? 0;
  gauge('context_handles', 'Contexts held for clients, by the process that wrote them', single(handleCount));
  gauge(
    'context_handle_bytes',
    'Their bytes on the disk',
    single(() => handles()?.bytes ?? 0),
  );
  total(
    'context_handles_dropped_total',
    'Contexts that were not used for too long (expired) or made room for others (evicted)',
    () => {
      const { expiredCount = 0, evictedCount = 0 } = handles()?.counts ?? {};
      return [
        { labels: { reason: 'expired' }, value: expiredCount },
        { labels: { reason: 'evicted' }, value: evictedCount },
      ];
    },
  );

  largest('model_version_info', '1 for each version that is ready', () =>
    versions().map(({ model, version }) => ({ labels: { model, version }, value: 1 })),
  );
  largest('model_version_device', '1 for each version that is ready, with the device of its heavy graphs', () =>
    versions().map(({ model, version, device, precision }) => ({
      labels: { model, version, device, precision },
      value: 1,
    })),
  );
  largest('weight_age_seconds', 'Time since the newest ready version of a model was published', () => {
    const newest = new Map<string, number>();
    for (const { model, publishedAtMs } of versions()) {
      newest.set(model, Math.max(publishedAtMs, newest.get(model) ?? publishedAtMs));
    }
    return [...newest].map(([model, atMs]) => ({ labels: { model }, value: (Date.now() - atMs) / 1000 }));
  });
}

const single = (read: () => number) => () => [{ labels: {}, value: read() }];
