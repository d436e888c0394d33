/** What is read from the server's parts when a scraper asks: caches, load, handles, versions. */

import type { Registry } from 'prom-client';
import type { HandleStore } from '../handles/handle-store.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import { type Reading, registerReadings } from './readings.ts';

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

/** Metrics of each of the context caches. */
const ofCaches: readonly (readonly [name: string, help: string, (cache: ContextCache) => number])[] = [
  ['context_cache_hits_total', 'Contexts whose weights were known', ({ kept }) => kept.counts.hitCount],
  ['context_cache_misses_total', 'Contexts whose weights were not known', ({ kept }) => kept.counts.missCount],
  ['context_cache_evictions_total', 'Entries that made room for others', ({ kept }) => kept.counts.evictionCount],
  ['context_cache_entries', 'Contexts whose weights are kept', ({ kept }) => kept.entryCount],
  ['context_cache_bytes', 'Bytes of weights that are kept', ({ kept }) => kept.bytes],
  [
    'context_cache_arena_bytes',
    'Memory that is taken for entries and used again',
    ({ kept }) => kept.arena?.bytes ?? 0,
  ],
  ['generations_in_flight', 'Contexts whose weights are being made', (cache) => cache.inFlightCount],
];

export function registerSources(sources: MetricsSources, registry: Registry): void {
  const { caches, eventLoopDelayUs, handles, versions } = sources;
  /** A counter where its name says so, by Prometheus' convention. */
  const register = (name: string, help: string, read: () => readonly Reading[], aggregator: 'sum' | 'max' = 'sum') => {
    const type = name.endsWith('_total') ? 'counter' : 'gauge';
    registerReadings(registry, { name: `hyperpolicy_${name}`, help, type, aggregator }, read);
  };
  const single = (read: () => number) => () => [{ labels: {}, value: read() }];

  for (const [name, help, read] of ofCaches) {
    register(name, help, () => Object.entries(caches).map(([cache, one]) => ({ labels: { cache }, value: read(one) })));
  }
  const inFlight = 'Requests being answered, and answers that wait to be read';
  register('requests_in_flight', inFlight, single(sources.requestCount));
  register('queue_rows', 'Rows that wait for heavy graphs', single(sources.queueRowCount));
  register('connections', 'Open on the gRPC port', single(sources.connectionCount));
  const delaySeconds = single(() => eventLoopDelayUs() / 1e6);
  register('event_loop_delay_seconds', 'How late the event loop runs, mean over the last second', delaySeconds, 'max');
  const handleCount = single(() => handles()?.entryCount ?? 0);
  register('context_handles', 'Contexts held for clients, by the process that wrote them', handleCount);
  const handleBytes = single(() => handles()?.bytes ?? 0);
  register('context_handle_bytes', 'Their bytes on the disk', handleBytes);
  const dropped = 'Contexts that were not used for too long (expired) or made room for others (evicted)';
  register('context_handles_dropped_total', dropped, () => {
    const { expiredCount = 0, evictedCount = 0 } = handles()?.counts ?? {};
    const counts = { expired: expiredCount, evicted: evictedCount };
    return Object.entries(counts).map(([reason, value]) => ({ labels: { reason }, value }));
  });
  const ready = () => versions().map(({ model, version }) => ({ labels: { model, version }, value: 1 }));
  register('model_version_info', '1 for each version that is ready', ready, 'max');
  const devices = () =>
    versions().map(({ model, version, device, precision }) => ({
      labels: { model, version, device, precision },
      value: 1,
    }));
  const aboutDevices = '1 for each version that is ready, with the device of its heavy graphs';
  register('model_version_device', aboutDevices, devices, 'max');
  const ages = () => {
    const newest = new Map<string, number>();
    for (const { model, publishedAtMs } of versions()) {
      newest.set(model, Math.max(publishedAtMs, newest.get(model) ?? publishedAtMs));
    }
    return [...newest].map(([model, atMs]) => ({ labels: { model }, value: (Date.now() - atMs) / 1000 }));
  };
  register('weight_age_seconds', 'Time since the newest ready version of a model was published', ages, 'max');
}
