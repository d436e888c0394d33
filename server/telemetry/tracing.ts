/** The trace of a request in OpenTelemetry's form: a span with a child for each stage. Loaded only if an endpoint is set. */

import { type StatusName, statusCodes } from '../../src/contract/status.ts';
import type { OpenTelemetry, OtelTracer } from '../../src/tracing/open-telemetry.ts';
import { openSpanExport, type SpanExport, type SpanExportOptions } from '../../src/tracing/span-export.ts';
import type { HeaderReader, Tracer } from '../call/request-record.ts';

export type Tracing = Pick<SpanExport, 'counts' | 'close'> & { readonly tracer: Tracer };

/** Statuses that are errors of a server by OpenTelemetry's conventions. */
const faults: ReadonlySet<StatusName> = new Set(['DEADLINE_EXCEEDED', 'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE']);

/** @throws HyperpolicyError failed_precondition if the packages are not installed */
export async function openTracing(options: SpanExportOptions): Promise<Tracing> {
  const { telemetry, spans, counts, close } = await openSpanExport(options);
  return { counts, close, tracer: createTracer(telemetry, spans) };
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
