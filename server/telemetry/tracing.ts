/**
 * OpenTelemetry traces: a span per request, with a child for each stage, exported by OTLP over HTTP. The packages are optional and are
 * loaded only if an endpoint is set.
 *
 * Requests never wait for the collector: spans wait in a bounded queue, and are dropped when it is full.
 */

import type { Logger } from 'pino';
import { type StatusName, statusCodes } from '../../src/contract/status.ts';
import type { HeaderReader, Tracer } from '../call/request-record.ts';
import { loadOpenTelemetry, type OpenTelemetry, type OtelExporter, type OtelTracer } from './open-telemetry.ts';

export type Tracing = {
  readonly tracer: Tracer;
  /** Sends the waiting spans, for at most `timeoutMs` and at most 5 s. */
  close(timeoutMs: number): Promise<void>;
};

export type TracingOptions = {
  /** Of the collector, for example `http://127.0.0.1:4318/v1/traces`. */
  readonly endpoint: string;
  /** Share of requests that are traced if the client does not say, 0 to 1. */
  readonly ratio: number;
  /** Spans that may wait to be sent. */
  readonly queueCountMax: number;
  readonly log: Logger;
};

const exportBatchCountMax = 512;
const exportEveryMs = 1000;
const exportTimeoutMs = 5000;

/** Statuses that are errors of a server by OpenTelemetry's conventions. */
const faults: ReadonlySet<StatusName> = new Set(['DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE']);

/** @throws HyperpolicyError failed_precondition if the packages are not installed */
export async function openTracing({ endpoint, ratio, queueCountMax, log }: TracingOptions): Promise<Tracing> {
  const telemetry = await loadOpenTelemetry();
  const { core, resources, sdk, otlp } = telemetry;
  const exporter = new otlp.OTLPTraceExporter({ url: endpoint, timeoutMillis: exportTimeoutMs, concurrencyLimit: 4 });
  const provider = new sdk.TracerProvider({
    resource: resources.resourceFromAttributes({ 'service.name': 'hyperpolicy', 'process.pid': process.pid }),
    sampler: new sdk.ParentBasedSampler({ root: new sdk.TraceIdRatioBasedSampler(ratio) }),
    spanProcessors: [
      new sdk.BatchSpanProcessor({
        exporter: telling(exporter, core.ExportResultCode.SUCCESS, { endpoint, log }),
        maxQueueSize: queueCountMax,
        maxExportBatchSize: Math.min(exportBatchCountMax, queueCountMax),
        scheduledDelayMillis: exportEveryMs,
        exportTimeoutMillis: exportTimeoutMs,
      }),
    ],
  });
  return {
    tracer: createTracer(telemetry, provider.getTracer('hyperpolicy')),
    close: (timeoutMs) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, Math.min(timeoutMs, exportTimeoutMs));
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

/** Wraps the exporter: logs once when the collector cannot be reached, and once when it can again. */
function telling(
  exporter: OtelExporter,
  success: number,
  { endpoint, log }: Pick<TracingOptions, 'endpoint' | 'log'>,
): OtelExporter {
  let isAway = false;
  return {
    export(spans, done) {
      exporter.export(spans, (result) => {
        const failed = result.code !== success;
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
