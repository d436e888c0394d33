/**
 * Sends spans to a collector by OTLP over HTTP. Who makes spans never waits for the collector: spans wait in a bounded queue, and are
 * dropped when it is full.
 */

import type { Logger } from 'pino';
import { loadOpenTelemetry, type OpenTelemetry, type OtelExporter, type OtelTracer } from './open-telemetry.ts';
import { loggedUrl, type TraceSettings } from './trace-settings.ts';

export type SpanExport = {
  readonly telemetry: OpenTelemetry;
  /** Makes spans. */
  readonly spans: OtelTracer;
  readonly counts: Readonly<SpanCounts>;
  /** Sends the waiting spans, for at most `timeoutMs` and at most 5 s. */
  close(timeoutMs: number): Promise<void>;
};

/** Spans that wait to be sent, were sent, could not be sent, and were dropped because too many waited. */
export type SpanCounts = { waitingCount: number; sentCount: number; failedCount: number; droppedCount: number };

export type SpanExportOptions = TraceSettings & {
  /** Spans that may wait to be sent. */
  readonly queueCountMax: number;
  readonly log: Logger;
};

const exportBatchCountMax = 512;
const exportEveryMs = 1000;
/** Of the end: spans that then wait still are lost. */
const closeMsMax = 5000;

/** @throws HyperpolicyError failed_precondition if the packages are not installed */
export async function openSpanExport(options: SpanExportOptions): Promise<SpanExport> {
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
    telemetry,
    spans: provider.getTracer('hyperpolicy'),
    counts,
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
  { endpoint: url, log }: Pick<SpanExportOptions, 'endpoint' | 'log'>,
): OtelExporter {
  const endpoint = loggedUrl(url);
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
