/**
 * What the server counts, in Prometheus' form. No label holds a context, a client or a request.
 *
 * What happens at every request is counted in plain numbers and copied out when a scraper asks.
 */

import { Counter, collectDefaultMetrics, Registry } from 'prom-client';
import { type StatusName, statusCodes } from '../../src/contract/status.ts';
import { SlotHistogram } from './histogram.ts';
import { type MetricsSources, registerSources } from './source-metrics.ts';
import { type Slot, Tally } from './tally.ts';
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

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  registerSources(sources, [registry]);
  return {
    registry,
    method: registerCalls(registry),
    work: registerWork(registry),
    tls: registerTlsMetrics([registry]),
    ...registerEvents(registry),
    ...registerGraphs(registry),
  };
}

/** Calls by method and status. */
function registerCalls(registry: Registry): Metrics['method'] {
  const labelNames = ['grpc_type', 'grpc_service', 'grpc_method'] as const;
  const started = new Tally(registry, 'grpc_server_started_total', 'Calls started', labelNames);
  const received = new Tally(registry, 'grpc_server_msg_received_total', 'Messages received', labelNames);
  const sent = new Tally(registry, 'grpc_server_msg_sent_total', 'Messages sent', labelNames);
  const handled = new Tally(registry, 'grpc_server_handled_total', 'Calls answered, by status code', [
    ...labelNames,
    'grpc_code',
  ]);
  const handling = new SlotHistogram({
    name: 'grpc_server_handling_seconds',
    help: 'From when the server had the message to the answer',
    labelNames,
    buckets: secondBuckets,
    registers: [registry],
  });
  const encode = histograms(registry, 'method')('hyperpolicy_encode_seconds', 'Writing a response', secondBuckets);
  return ({ type, service, method }) => {
    const labels = { grpc_type: type, grpc_service: service, grpc_method: method };
    const startedSlot = started.slot(labels);
    const receivedSlot = received.slot(labels);
    const sentSlot = sent.slot(labels);
    const byStatus = Object.fromEntries(
      Object.keys(statusCodes).map((name) => [name, handled.slot({ ...labels, grpc_code: name })]),
    ) as Record<StatusName, Slot>;
    const observe = handling.slot(labels);
    return {
      encoded: encode.slot({ method }),
      started: () => void startedSlot.count++,
      received: () => void receivedSlot.count++,
      sent: () => void sentSlot.count++,
      handled(status, seconds) {
        byStatus[status].count++;
        observe(seconds);
      },
    };
  };
}

/** What methods do for their requests. */
function registerWork(registry: Registry): Metrics['work'] {
  const byMethod = histograms(registry, 'method');
  const rows = byMethod('hyperpolicy_rows', 'Rows of a request', rowBuckets);
  const primary = byMethod(
    'hyperpolicy_primary_seconds',
    'Waiting for generated weights, from when their run began',
    secondBuckets,
  );
  const dynamic = byMethod('hyperpolicy_dynamic_seconds', 'Dynamic networks, or whole plain ones', secondBuckets);
  return (method) => ({
    rows: rows.slot({ method }),
    primary: primary.slot({ method }),
    dynamic: dynamic.slot({ method }),
  });
}

/** What is too rare to count in slots. */
function registerEvents(registry: Registry): Pick<Metrics, 'loadResult' | 'fallback' | 'connectionEnded'> {
  const counter = <Label extends string>(name: string, help: string, labelNames: Label[]) =>
    new Counter({ name, help, labelNames, registers: [registry] });
  const loads = counter('hyperpolicy_model_loads_total', 'Model versions loaded or refused', ['model', 'result']);
  const fallbacks = counter('hyperpolicy_fallbacks_total', 'Actions that stood in for one that was not there in time', [
    'fallback',
    'reason',
  ]);
  const connectionEnds = counter(
    'hyperpolicy_connections_ended_total',
    'gRPC connections refused or cut for what their client does',
    ['reason'],
  );
  for (const reason of ['too_many', 'pings'] as const) connectionEnds.inc({ reason }, 0);
  return {
    loadResult: (result, model) => loads.inc({ model, result }),
    fallback: (fallback, reason) => fallbacks.inc({ fallback, reason }),
    connectionEnded: (reason) => connectionEnds.inc({ reason }),
  };
}

/** Heavy graphs by their names, which are the names of their files: the first `graphLabelCountMax`, then `other`. */
function registerGraphs(registry: Registry): Pick<Metrics, 'heavyRun' | 'queued'> {
  const byGraph = histograms(registry, 'graph');
  const seconds = byGraph('hyperpolicy_heavy_run_seconds', 'Runs of primaries and plain critics', secondBuckets);
  const rows = byGraph('hyperpolicy_batch_rows', 'Rows joined into one run of a heavy graph', rowBuckets);
  const queue = byGraph('hyperpolicy_queue_seconds', 'Waiting for the turn of a heavy graph', secondBuckets);
  const slots = new Map<string, { seconds: Observe; rows: Observe; queued: Observe }>();
  function slotsOf(name: string) {
    const graph = slots.has(name) || slots.size < graphLabelCountMax ? name : 'other';
    const known = slots.get(graph);
    if (known !== undefined) return known;
    const labels = { graph };
    const added = { seconds: seconds.slot(labels), rows: rows.slot(labels), queued: queue.slot(labels) };
    slots.set(graph, added);
    return added;
  }
  return {
    heavyRun(run) {
      const graph = slotsOf(run.name);
      graph.seconds(run.seconds);
      graph.rows(run.rowCount);
    },
    queued: (name, waitedSeconds) => slotsOf(name).queued(waitedSeconds),
  };
}

type Observe = (value: number) => void;

const histograms =
  <Label extends string>(registry: Registry, label: Label) =>
  (name: string, help: string, buckets: number[]) =>
    new SlotHistogram({ name, help, labelNames: [label], buckets, registers: [registry] });
