/**
 * OpenTelemetry traces: a span per request, with a child for each stage, exported by OTLP over HTTP. The packages are optional and are
 * loaded only if an endpoint is set.
 *
 * Requests never wait for the collector: spans wait in a bounded queue, and are dropped when it is full.
 */

import type { Logger } from 'pino';
import { type StatusName, statusCodes } from '../../src/contract/status.ts';
import {
  loadOpenTelemetry,
  type OpenTelemetry,
  type OtelExporter,
  type OtelTracer,
} from '../../src/tracing/open-telemetry.ts';
import type { TraceSettings } from '../../src/tracing/trace-settings.ts';
import type { HeaderReader, Tracer } from '../call/request-record.ts';

export type Tracing = {
  readonly counts: Readonly<SpanCounts>;
  readonly tracer: Tracer;
  /** Sends the waiting spans, for at most `timeoutMs` and at most 5 s. */
  close(timeoutMs: number): Promise<void>;
};

/** Spans that wait to be sent, were sent, could not be sent, and were dropped because too many waited. */
export type SpanCounts = { waitingCount: number; sentCount: number; failedCount: number; droppedCount: number };

export type TracingOptions = TraceSettings & {
  /** Spans that may wait to be sent. */
  readonly queueCountMax: number;
  readonly log: Logger;
};

const exportBatchCountMax = 512;
const exportEveryMs = 1000;
/** Of the end: spans that then wait still are lost. */
const closeMsMax = 5000;

/** Statuses that are errors of a server by OpenTelemetry's conventions. */
const faults: ReadonlySet<StatusName> = new Set(['DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE']);

/** @throws HyperpolicyError failed_precondition if the packages are not installed */
export async function openTracing(options: TracingOptions): Promise<Tracing> {
  const { endpoint, ratio, isParentBased, timeoutMs: timeoutMillis, resource, queueCountMax } = options;
  const telemetry = await loadOpenTelemetry();
  const { core, resources, sdk, otlp } = telemetry;
  const exporter = new otlp.OTLPTraceExporter({ url: endpoint, timeoutMillis, concurrencyLimit: 4 });
  const counts: SpanCounts = { waitingCount: 0, sentCount: 0, failedCount: 0, droppedCount: 0 };
  const root = new sdk.TraceIdRatioBasedSampler(ratio);
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes(resource),
    sampler: isParentBased ? new sdk.ParentBasedSampler({ root }) : root,
    spanProcessors: [
      countingEnds(counts, queueCountMax),
      new sdk.BatchSpanProcessor({
        exporter: telling(exporter, core.ExportResultCode.SUCCESS, counts, options),
        maxQueueSize: queueCountMax,
        maxExportBatchSize: Math.min(exportBatchCountMax, queueCountMax),
        scheduledDelayMillis: exportEveryMs,
        exportTimeoutMillis: timeoutMillis,
      }),
    ],
  });
  return {
    counts,
    tracer: createTracer(telemetry, provider.getTracer('hyperpolicy')),
    close: (timeoutMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, Math.min(timeoutMs, closeMsMax));
        provider
          .shutdown()
          .catch(() => {})
          .finally(() => {
            clearTimeout(timer);
            resolve();
          });
      }),
  };
}

function createTracer({ api, core }: OpenTelemetry, spans: OtelTracer): Tracer {
  const propagator = new core.W3CTraceContextPropagator();
  const getter = { get: (header: HeaderReader, name: string) => header(name), keys: () => [] };
  return (service, method, startMs, header) => {
    // One clock offset for all spans of a request. The SDK takes one per span, so children could exceed their parent.
    const offsetMs = Date.now() - performance.now();
    const timeOf = (ms: number) => core.millisToHrTime(offsetMs + ms);
    const parent = propagator.extract(api.ROOT_CONTEXT, header, getter);
    const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method };
    const span = spans.startSpan(
      `${service}/${method}`,
      { kind: api.SpanKind.SERVER, startTime: timeOf(startMs), attributes },
      parent,
    );
    if (!span.isRecording()) return undefined;
    const context = api.trace.setSpan(parent, span);
    return {
      id: span.spanContext().traceId,
      stage: (stage, fromMs, toMs) => spans.startSpan(stage, { startTime: timeOf(fromMs) }, context).end(timeOf(toMs)),
      end(status, endMs, { answeredBy, rowCount }) {
        span.setAttribute('rpc.grpc.status_code', statusCodes[status]);
        if (answeredBy !== undefined) {
          span.setAttribute('hyperpolicy.model', answeredBy.model);
          span.setAttribute('hyperpolicy.version', answeredBy.version);
        }
        if (rowCount !== undefined) span.setAttribute('hyperpolicy.rows', rowCount);
        if (faults.has(status)) span.setStatus({ code: api.SpanStatusCode.ERROR });
        span.end(timeOf(endMs));
      },
    };
  };
}

/** Sees a span before the queue does, which tells nobody what it drops. */
const countingEnds = (counts: SpanCounts, queueCountMax: number) => ({
  onStart() {},
  onEnd() {
    if (counts.waitingCount >= queueCountMax) counts.droppedCount++;
    else counts.waitingCount++;
  },
  forceFlush: async () => {},
  shutdown: async () => {},
});

/** Wraps the exporter: counts spans; logs once when the collector cannot be reached, and once when it can again. */
function telling(
  exporter: OtelExporter,
  success: number,
  counts: SpanCounts,
  { endpoint, log }: Pick<TracingOptions, 'endpoint' | 'log'>,
): OtelExporter {
  let isAway = false;
  return {
    export(spans, done) {
      counts.waitingCount -= spans.length;
      exporter.export(spans, (result) => {
        const failed = result.code !== success;
        counts[failed ? 'failedCount' : 'sentCount'] += spans.length;
        if (failed && !isAway) log.warn({ endpoint, reason: result.error?.message }, 'traces cannot be sent');
        if (!failed && isAway) log.info({ endpoint }, 'traces are sent again');
        isAway = failed;
        done(result);
      });
    },
    shutdown: () => exporter.shutdown(),
    forceFlush: async () => exporter.forceFlush?.(),
  };
}
