/** What is read from the server's parts when a scraper asks: load beside its limits, caches, handles, versions, the build. */

import type { Registry } from 'prom-client';
import { type Labels, type Reading, registerReadings, summed } from '../../src/metrics/readings.ts';
import type { SpanCounts } from '../../src/tracing/span-export.ts';
import { type ServerConfig, serverVersion, stuckThreadCountMax } from '../config.ts';
import type { HandleStore } from '../handles/handle-store.ts';
import type { ContextCache } from '../weights/context-cache.ts';
import type { LookupCounts } from '../weights/kept-weights.ts';
import type { GraphLabels } from './graph-labels.ts';
import { droppedLineCount } from './log.ts';

/** Of a process. The parent of several answers only its admins, and leaves out what it does not have. */
export type MetricsSources = {
  readonly eventLoopDelayUs: () => number;
  readonly serving?: ServingSources;
};

type ServingSources = {
  readonly config: ServerConfig;
  readonly caches: Readonly<Record<'policy' | 'critic', ContextCache>>;
  /** Calls in flight, and those whose answer waits to be read. */
  readonly requestCount: () => number;
  /** Messages of streams without an answer. */
  readonly streamRequestCount: () => number;
  /** Rows that wait for each heavy graph. */
  readonly queues: () => readonly { readonly name: string; readonly labels: Labels; readonly rowCount: number }[];
  /** Undefined while the server starts. */
  readonly handles: () => HandleStore | undefined;
  /** Open on the gRPC and on the HTTP port. */
  readonly connectionCount: () => number;
  readonly httpConnectionCount: () => number;
  readonly heldActionCount: () => number;
  /** Threads in runs that do not end. */
  readonly stuckThreadCount: () => number;
  /** Undefined where nothing is traced. */
  readonly spans: () => Readonly<SpanCounts> | undefined;
  /** Every version that is ready. */
  readonly versions: () => readonly VersionSource[];
  /** Whether a model has left the store. */
  readonly isModelGone: (model: string) => boolean;
  /** Every version that takes long to load. */
  readonly trying: () => readonly { readonly model: string; readonly version: number }[];
};

type VersionSource = {
  readonly model: string;
  readonly version: number;
  readonly publishedAtMs: number;
  readonly device: string;
  readonly precision: string;
  readonly policy: GeneratedSource;
  readonly critic: GeneratedSource;
};

type GeneratedSource = {
  readonly weights: { readonly counts: LookupCounts } | undefined;
  readonly fused: { readonly rowCountMin: number } | undefined;
} | null;

type Read = () => readonly Reading[];

/** A counter where its name says so, by Prometheus' convention. */
type Register = (name: string, help: string, read: Read, aggregator?: 'sum' | 'max') => void;

const one = (value: number): readonly Reading[] => [{ labels: {}, value }];

/** A reading for each value of a label. */
const by = (label: string, values: Readonly<Record<string, number>>, labels: Labels = {}): readonly Reading[] =>
  Object.entries(values).map(([name, value]) => ({ labels: { ...labels, [label]: name }, value }));

export function registerSources(
  { eventLoopDelayUs, serving }: MetricsSources,
  graphs: GraphLabels,
  registry: Registry,
): void {
  const register: Register = (name, help, read, aggregator = 'sum') => {
    const type = name.endsWith('_total') ? 'counter' : 'gauge';
    registerReadings(registry, { name: `hyperpolicy_${name}`, help, type, aggregator }, read);
  };
  const lateness = () => one(eventLoopDelayUs() / 1e6);
  register('event_loop_delay_seconds', 'How late the event loop runs, mean over the last second', lateness, 'max');
  const build = { labels: { version: serverVersion }, value: 1 };
  register('build_info', '1, with the version of the server', () => [build], 'max');
  const unwritten = 'Lines of the log that could not be written';
  register('log_lines_dropped_total', unwritten, () => one(droppedLineCount()));
  if (serving === undefined) return;
  registerLoad(register, graphs, serving);
  registerCaches(register, serving);
  registerHandles(register, serving);
  registerVersions(register, serving);
  registerSpans(register, serving);
}

function registerLoad(
  register: Register,
  graphs: GraphLabels,
  {
    config,
    requestCount,
    streamRequestCount,
    queues,
    connectionCount,
    httpConnectionCount,
    heldActionCount,
    stuckThreadCount,
  }: ServingSources,
): void {
  const inFlight = 'Unary calls being answered, and answers of any call that wait to be read';
  register('requests_in_flight', inFlight, () => one(requestCount()));
  register('max_requests_in_flight', 'Unary calls that may be answered at once', () => one(config.requestCountMax));
  const ofStreams = 'Messages of streams that wait for their answer; each stream has a limit of its own';
  register('stream_requests_in_flight', ofStreams, () => one(streamRequestCount()));
  const waiting = () =>
    summed(
      queues().map(({ name, labels, rowCount }) => ({
        labels: { graph: graphs.of(name), ...labels },
        value: rowCount,
      })),
    );
  register('queue_rows', 'Rows that wait for a heavy graph', waiting);
  const stuck = 'Threads in runs that do not end, which were given up';
  register('stuck_threads', stuck, () => one(stuckThreadCount()));
  const stuckMax = 'Threads in such runs with which nothing more is loaded';
  register('max_stuck_threads', stuckMax, () => one(stuckThreadCountMax(config)));
  register('max_queue_rows', 'Rows that may wait for each heavy graph', () => one(config.queueRowCountMax));
  register('connections', 'Open on the gRPC port', () => one(connectionCount()));
  register('max_connections', 'Connections that may be open on it', () => one(config.connectionCountMax));
  register('http_connections', 'Open on the HTTP port', () => one(httpConnectionCount()));
  register('max_http_connections', 'Connections that may be open on it', () => one(config.httpConnectionCountMax));
  register('held_actions', 'Clients whose last action is kept for hold', () => one(heldActionCount()));
  register('max_held_actions', 'Clients whose last action may be kept', () => one(config.heldActionCountMax));
}

function registerCaches(register: Register, { config, caches, versions }: ServingSources): void {
  const ofCaches = (name: string, help: string, read: (cache: ContextCache) => number) =>
    register(name, help, () => by('cache', { policy: read(caches.policy), critic: read(caches.critic) }));
  ofCaches('context_cache_hits_total', 'Contexts whose weights were known', ({ kept }) => kept.counts.hitCount);
  ofCaches('context_cache_misses_total', 'Contexts whose weights were not known', ({ kept }) => kept.counts.missCount);
  register('context_lookups_total', 'The same by version', () => versions().flatMap(lookupsOf));
  const evicted = 'Entries that made room for others';
  ofCaches('context_cache_evictions_total', evicted, ({ kept }) => kept.counts.evictionCount);
  ofCaches('context_cache_entries', 'Contexts whose weights are kept', ({ kept }) => kept.entryCount);
  ofCaches('context_cache_bytes', 'Bytes of weights that are kept', ({ kept }) => kept.bytes);
  const pinned = 'Those that are pinned, at most half of the limit';
  ofCaches('context_cache_pinned_bytes', pinned, ({ kept }) => kept.pinnedBytes);
  const arena = 'Memory that is taken for entries and used again';
  ofCaches('context_cache_arena_bytes', arena, ({ kept }) => kept.arena?.bytes ?? 0);
  ofCaches('generations_in_flight', 'Contexts whose weights are being made', ({ inFlightCount }) => inFlightCount);
  const limits = { policy: config.contextCacheBytesMax, critic: config.criticCacheBytesMax };
  register('max_context_cache_bytes', 'Bytes of weights that may be kept', () => by('cache', limits));
}

const lookupsOf = ({ model, version, policy, critic }: VersionSource): readonly Reading[] =>
  Object.entries({ policy, critic }).flatMap(([cache, network]) => {
    if (!network?.weights) return [];
    const { hitCount: hit, missCount: miss } = network.weights.counts;
    return by('result', { hit, miss }, { cache, model, version });
  });

function registerHandles(register: Register, { config, handles }: ServingSources): void {
  // Of this process: several share what the settings name.
  const { handleCountMax, handleSpoolBytesMax, handleCacheBytesMax, processCount } = config;
  const kept = 'Contexts held for clients, by the process that wrote them';
  register('context_handles', kept, () => one(handles()?.entryCount ?? 0));
  register('max_context_handles', 'Contexts that may be held', () => one(handleCountMax / processCount));
  register('context_handle_bytes', 'Their bytes on the disk', () => one(handles()?.bytes ?? 0));
  const onDisk = () => one(handleSpoolBytesMax / processCount);
  register('max_context_handle_bytes', 'Bytes that they may have on the disk', onDisk);
  register('handle_cache_bytes', 'Those used lately, in memory', () => one(handles()?.cacheBytes ?? 0));
  const inMemory = () => one(handleCacheBytesMax);
  register('max_handle_cache_bytes', 'Bytes that they may have in memory', inMemory);
  const dropped = 'Contexts that were not used for too long (expired) or made room for others (evicted)';
  register('context_handles_dropped_total', dropped, () => {
    const { expiredCount: expired = 0, evictedCount: evicted = 0 } = handles()?.counts ?? {};
    return by('reason', { expired, evicted });
  });
}

function registerSpans(register: Register, { config, spans }: ServingSources): void {
  register('trace_spans_waiting', 'Spans that wait to be sent', () => one(spans()?.waitingCount ?? 0));
  register('max_trace_spans_waiting', 'Spans that may wait to be sent', () => one(config.traceQueueCountMax));
  register('trace_spans_total', 'Spans that were sent, that no collector took, and for which there was no room', () => {
    const { sentCount: sent = 0, failedCount: failed = 0, droppedCount: dropped = 0 } = spans() ?? {};
    return by('result', { sent, failed, dropped });
  });
}

function registerVersions(register: Register, { versions, trying }: ServingSources): void {
  const ready = () => versions().map(({ model, version }) => ({ labels: { model, version }, value: 1 }));
  register('model_version_info', '1 for each version that is ready', ready, 'max');
  const tried = () => trying().map(({ model, version }) => ({ labels: { model, version }, value: 1 }));
  register('model_version_slow_load', '1 for each version that takes long to load', tried, 'max');
  const devices = () =>
    versions().map(({ model, version, device, precision }) => ({
      labels: { model, version, device, precision },
      value: 1,
    }));
  const aboutDevices = '1 for each version that is ready, with the device of its heavy graphs';
  register('model_version_device', aboutDevices, devices, 'max');
  const fused = () =>
    versions().flatMap(({ model, version, policy, critic }) =>
      Object.entries({ policy, critic }).flatMap(([network, own]) =>
        own?.fused === undefined ? [] : [{ labels: { model, version, network }, value: own.fused.rowCountMin }],
      ),
    );
  const aboutFused =
    'Rows from which a request whose contexts or observations are new runs primary and dynamic network in one';
  register('model_version_fused_min_rows', aboutFused, fused, 'max');
  const ages = () => {
    const newest = new Map<string, number>();
    for (const { model, publishedAtMs } of versions()) {
      newest.set(model, Math.max(publishedAtMs, newest.get(model) ?? publishedAtMs));
    }
    return [...newest].map(([model, atMs]) => ({ labels: { model }, value: (Date.now() - atMs) / 1000 }));
  };
  register('weight_age_seconds', 'Time since the newest ready version of a model was published', ages, 'max');
}
