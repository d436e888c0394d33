/** The server's metrics for Prometheus. No label holds a context, a client or a request. */

import { Registry } from 'prom-client';
import type { StatusName } from '../../src/contract/status.ts';
import { registerProcessMetrics } from '../../src/metrics/process-metrics.ts';
import { type Labels, registerCounter, registerHistogram, registerReadings } from '../../src/metrics/readings.ts';
import { GraphLabels } from './graph-labels.ts';
import { registerRequests, registerRunFaults, secondBounds, slotsByStatus } from './request-metrics.ts';
import { type MetricsSources, registerSources } from './source-metrics.ts';
import { VersionLabels } from './version-labels.ts';

const rowBounds = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096];

/** `other` is a method that the server does not have. */
export type GrpcType = 'unary' | 'server_stream' | 'bidi_stream' | 'other';

const endReasons = ['too_many', 'pings', 'stalled'] as const;
export type EndReason = (typeof endReasons)[number];

const handshakeFailures = [
  'no_client_certificate',
  'client_certificate_refused',
  'certificate_refused_by_client',
  'not_tls',
  'left',
  'too_slow',
  'no_common_protocol',
  'other',
] as const;
export type HandshakeFailure = (typeof handshakeFailures)[number];

const reloadKinds = ['certificates', 'tokens', 'labels'] as const;
type ReloadKind = (typeof reloadKinds)[number];

export type Metrics = ReturnType<typeof createMetrics>;
export type MethodMetrics = ReturnType<Metrics['method']>;
export type WorkMetrics = ReturnType<Metrics['work']>;

/** Of a heavy graph, the same object each time: its file's name, and the labels of its version. */
type GraphNames = { readonly name: string; readonly labels: Labels };

/** With the rows that were joined for it. */
type HeavyRun = { readonly graph: GraphNames; readonly rowCount: number; readonly seconds: number };

export function createMetrics(sources: MetricsSources) {
  const registry = new Registry();
  registerProcessMetrics(registry);
  const graphs = new GraphLabels();
  registerSources(sources, graphs, registry);
  const versions = new VersionLabels();
  const kinds = kindsIn(registry);
  const calls = registerCalls(kinds);
  const requests = registerRequests(registry, versions);
  return {
    registry,
    versions,
    method: (name: MethodName) => ({ ...calls(name), answered: requests(name.method) }),
    runFault: registerRunFaults(registry),
    work: registerWork(kinds),
    tls: registerTls(registry, kinds),
    ...registerEvents(kinds, ({ model }) => sources.serving?.isModelGone(String(model)) ?? false),
    ...registerGraphs(kinds, graphs, versions),
  };
}

type MethodName = { readonly type: GrpcType; readonly service: string; readonly method: string };
type Kinds = ReturnType<typeof kindsIn>;
type IsGone = (labels: Labels) => boolean;

const kindsIn = (registry: Registry) => ({
  counter: (name: string, help: string, isGone?: IsGone) => registerCounter(registry, { name, help, isGone }),
  seconds: (name: string, help: string, isGone?: IsGone) =>
    registerHistogram(registry, { name, help, bounds: secondBounds, isGone }),
  rows: (name: string, help: string) => registerHistogram(registry, { name, help, bounds: rowBounds }),
});

/** Calls by method and status. */
function registerCalls({ counter, seconds }: Kinds) {
  const started = counter('grpc_server_started_total', 'Calls started');
  const received = counter('grpc_server_msg_received_total', 'Messages received');
  const sent = counter('grpc_server_msg_sent_total', 'Messages sent');
  const handled = counter('grpc_server_handled_total', 'Calls answered, by status code');
  const handling = seconds('grpc_server_handling_seconds', 'From when the server had the message to the answer');
  const encode = seconds('hyperpolicy_encode_seconds', 'Writing a response');
  return ({ type, service, method }: MethodName) => {
    const labels = { grpc_type: type, grpc_service: service, grpc_method: method };
    const [startedSlot, receivedSlot, sentSlot] = [started, received, sent].map((counter) => counter(labels));
    const byStatus = slotsByStatus((grpc_code) => handled({ ...labels, grpc_code }));
    const observe = handling(labels);
    return {
      /** Seconds to write one response. */
      encoded: encode({ method }),
      started: () => void startedSlot!.value++,
      received: () => void receivedSlot!.value++,
      sent: () => void sentSlot!.value++,
      /** A call has ended. */
      handled(status: StatusName, seconds: number): void {
        byStatus[status].value++;
        observe(seconds);
      },
    };
  };
}

/** Work for requests of one method that passed validation: their rows, and seconds. */
function registerWork({ seconds, rows }: Kinds) {
  const requestRows = rows('hyperpolicy_rows', 'Rows of a request');
  const primary = seconds('hyperpolicy_primary_seconds', 'Waiting for generated weights, from when their run began');
  const dynamic = seconds('hyperpolicy_dynamic_seconds', 'Dynamic networks, or whole plain ones');
  return (method: string) => ({
    rows: requestRows({ method }),
    primary: primary({ method }),
    dynamic: dynamic({ method }),
  });
}

function registerTls(registry: Registry, { counter }: Kinds) {
  const failures = counter('hyperpolicy_tls_handshakes_failed_total', 'TLS handshakes that failed, by port and reason');
  const expirySeconds = new Map<string, number>();
  registerReadings(
    registry,
    {
      name: 'hyperpolicy_tls_certificate_expiry_timestamp_seconds',
      help: 'When the certificate of a port ends, in seconds since 1970',
      type: 'gauge',
      aggregator: 'min',
    },
    () => [...expirySeconds].map(([port, value]) => ({ labels: { port }, value })),
  );
  return (port: string) => {
    for (const reason of handshakeFailures) failures({ port, reason });
    return {
      failed: (reason: HandshakeFailure) => void failures({ port, reason }).value++,
      /** When its certificate ends, milliseconds since 1970. */
      validTo: (ms: number) => void expirySeconds.set(port, ms / 1000),
    };
  };
}

/** @param isGone whether the model that labels name has left the store */
function registerEvents({ counter }: Kinds, isGone: IsGone) {
  const loads = counter(
    'hyperpolicy_model_loads_total',
    'Model versions loaded, refused, or withdrawn as a run did not end',
    isGone,
  );
  const givenUp = counter('hyperpolicy_threads_given_up_total', 'Threads whose run did not end in time')({});
  const deviceFallbacks = counter(
    'hyperpolicy_device_fallbacks_total',
    'Model versions that a device refused and another serves',
    isGone,
  );
  const fallbacks = counter('hyperpolicy_fallbacks_total', 'Actions that stood in for one that was not there in time');
  const connectionEnds = counter(
    'hyperpolicy_connections_ended_total',
    'gRPC connections refused or cut for what their client does',
  );
  for (const reason of endReasons) connectionEnds({ reason });
  const reloads = counter('hyperpolicy_reloads_total', 'Files that changed and were read again, or refused');
  for (const kind of reloadKinds) for (const result of ['loaded', 'refused']) reloads({ kind, result });
  return {
    /** A file that changed was read again, or refused. */
    reloaded: (kind: ReloadKind, result: 'loaded' | 'refused') => void reloads({ kind, result }).value++,
    loadResult: (result: 'loaded' | 'refused' | 'withdrawn', model: string) => void loads({ model, result }).value++,
    /** A thread's run did not end in time. */
    threadGivenUp: () => void givenUp.value++,
    /** A device refused a version that the next one serves. */
    deviceFallback: (model: string, refused_by: string) => void deviceFallbacks({ model, refused_by }).value++,
    fallback: (fallback: string, reason: string) => void fallbacks({ fallback, reason }).value++,
    /** A connection was refused or cut for what its client does. */
    connectionEnded: (reason: EndReason) => void connectionEnds({ reason }).value++,
  };
}

/** Heavy graphs by their names; waiting also by version. */
function registerGraphs({ seconds, rows }: Kinds, graphs: GraphLabels, { isGone }: VersionLabels) {
  const runs = seconds('hyperpolicy_heavy_run_seconds', 'Runs of primaries and plain critics');
  const batches = rows('hyperpolicy_batch_rows', 'Rows joined into one run of a heavy graph');
  const queue = seconds('hyperpolicy_queue_seconds', 'Waiting of requests for the turn of a heavy graph', isGone);
  const open = ({ name, labels: ofVersion }: GraphNames) => {
    const labels = { graph: graphs.of(name) };
    return { ran: runs(labels), joined: batches(labels), waited: queue({ ...labels, ...ofVersion }) };
  };
  const opened = new WeakMap<GraphNames, ReturnType<typeof open>>();
  const seriesOf = (graph: GraphNames) => {
    const series = opened.get(graph) ?? open(graph);
    opened.set(graph, series);
    return series;
  };
  return {
    heavyRun({ graph, seconds: taken, rowCount }: HeavyRun): void {
      const { ran, joined } = seriesOf(graph);
      ran(taken);
      joined(rowCount);
    },
    /** A request has waited so long for its turn. */
    queued: (graph: GraphNames, waitedSeconds: number) => seriesOf(graph).waited(waitedSeconds),
  };
}
