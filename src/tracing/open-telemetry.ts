/**
 * The parts of OpenTelemetry that traces use. Its packages are optional: they are loaded only if traces are on, and their types are
 * declared here, so that the server can be built and run without them.
 */

import { failedPrecondition } from '../contract/errors.ts';

/** Seconds and nanoseconds since 1970. */
type Time = [number, number];

/** Carries the parent of a span. */
export type OtelContext = { getValue(key: symbol): unknown };

export type OtelSpan = {
  isRecording(): boolean;
  spanContext(): { readonly traceId: string };
  setAttribute(key: string, value: string | number): unknown;
  setStatus(status: { code: number }): unknown;
  end(time?: Time): void;
};

export type OtelTracer = { startSpan(name: string, options: SpanOptions, context: OtelContext): OtelSpan };

export type OtelExporter = {
  export(spans: unknown[], done: (result: { readonly code: number; readonly error?: Error }) => void): void;
  shutdown(): Promise<void>;
  forceFlush?(): Promise<void>;
};

type Getter<Carrier> = { get(carrier: Carrier, name: string): string | undefined; keys(carrier: Carrier): string[] };
type SpanOptions = { kind?: number; startTime?: Time; attributes?: Record<string, string> };
type BatchOptions = {
  exporter: OtelExporter;
  maxQueueSize: number;
  maxExportBatchSize: number;
  scheduledDelayMillis: number;
  exportTimeoutMillis: number;
};
type ProviderOptions = { resource: object; sampler: object; spanProcessors: object[] };

/** The packages, as far as they are used here. */
export type OpenTelemetry = {
  readonly api: {
    readonly ROOT_CONTEXT: OtelContext;
    readonly SpanKind: { readonly SERVER: number };
    readonly SpanStatusCode: { readonly ERROR: number };
    readonly trace: { setSpan(context: OtelContext, span: OtelSpan): OtelContext };
  };
  readonly core: {
    readonly ExportResultCode: { readonly SUCCESS: number };
    millisToHrTime(ms: number): Time;
    readonly W3CTraceContextPropagator: new () => {
      extract<Carrier>(context: OtelContext, carrier: Carrier, getter: Getter<Carrier>): OtelContext;
    };
  };
  readonly resources: { resourceFromAttributes(attributes: Record<string, string | number>): object };
  readonly sdk: {
    readonly TracerProvider: new (
      options: ProviderOptions,
    ) => { getTracer(name: string): OtelTracer; shutdown(): Promise<void> };
    readonly ParentBasedSampler: new (options: { root: object }) => object;
    readonly TraceIdRatioBasedSampler: new (ratio: number) => object;
    readonly BatchSpanProcessor: new (options: BatchOptions) => object;
  };
  readonly otlp: {
    readonly OTLPTraceExporter: new (options: {
      url: string;
      timeoutMillis: number;
      concurrencyLimit: number;
    }) => OtelExporter;
  };
};

/** The name is computed, so that the compiler does not need the packages. */
const load = (name: string): Promise<unknown> => import(`@opentelemetry/${name}`);

/** @throws HyperpolicyError failed_precondition if one is not installed, with the command that installs it */
export async function loadOpenTelemetry(): Promise<OpenTelemetry> {
  try {
    const [api, core, resources, sdk, otlp] = await Promise.all(
      ['api', 'core', 'resources', 'sdk-trace', 'exporter-trace-otlp-http'].map(load),
    );
    return { api, core, resources, sdk, otlp } as OpenTelemetry;
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    // The second code means that a dependency of one of these is missing.
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw cause;
    throw failedPrecondition({
      where: 'traces',
      expected: 'the optional packages of OpenTelemetry',
      actual: `no ${/'(@opentelemetry\/[^']*)'/.exec(message)?.[1] ?? 'such package'}`,
      remedy: 'Install them with "npm ci --include=optional", or set no trace endpoint',
      cause,
    });
  }
}
