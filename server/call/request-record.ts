/**
 * The record of a single request. It becomes a line of the request log, a trace, or both. Counts over all requests: telemetry/metrics.ts.
 * A record never holds tensors, tokens or paths.
 */

import type { Logger } from 'pino';
import type { StatusName } from '../../src/contract/status.ts';

/** Stages of a request: waiting for a worker, generating weights, running the dynamic (or whole plain) network, writing the response. */
export type Stage = 'queue' | 'primary' | 'dynamic' | 'encode';

/** The version that answers a request. */
export type AnsweredBy = { readonly model: string; readonly version: number };

/** The trace of one request. Times are on the clock of `performance.now()`. */
type RequestTrace = {
  /** 32 hexadecimal digits. */
  readonly id: string;
  stage(stage: Stage, startMs: number, endMs: number): void;
  end(status: StatusName, endMs: number, about: { readonly answeredBy?: AnsweredBy; readonly rowCount?: number }): void;
};

/** Begins the trace of a request, as part of the client's trace if it sent a `traceparent`; undefined if the request is not sampled. */
export type Tracer = (
  service: string,
  method: string,
  startMs: number,
  header: HeaderReader,
) => RequestTrace | undefined;

/** Reads a header (gRPC metadata) of the request. */
export type HeaderReader = (name: string) => string | undefined;

/** Opens the record of a request of one method. */
export type OpenRecord = (receivedAtMs: number, header: HeaderReader) => RequestRecord;

/** Opens the records of a method's requests. Undefined if requests are neither logged nor traced: then records cost nothing. */
export type RequestRecorder = ((service: string, method: string) => OpenRecord) | undefined;

export type RecorderOptions = {
  readonly log: Logger;
  /** Logs one request in this many, and each that fails with INTERNAL; 0 logs none. */
  readonly requestLogEvery: number;
  readonly tracer: Tracer | undefined;
};

export function createRequestRecorder({ log, requestLogEvery, tracer }: RecorderOptions): RequestRecorder {
  if (requestLogEvery === 0 && tracer === undefined) return undefined;
  let requestCount = 0;
  return (service, method) => (receivedAtMs, header) => {
    const isLogged = requestLogEvery > 0 && requestCount++ % requestLogEvery === 0;
    const trace = tracer?.(service, method, receivedAtMs, header);
    return new Recorded({ method, receivedAtMs, trace }, (status, fields) => {
      if (status === 'INTERNAL' && requestLogEvery > 0) log.error(fields, 'request');
      else if (isLogged) log.info(fields, 'request');
    });
  };
}

type Opening = { readonly method: string; readonly receivedAtMs: number; readonly trace: RequestTrace | undefined };

/** Times are on the clock of `performance.now()`. */
export type RequestRecord = Pick<Recorded, keyof Recorded>;

class Recorded {
  readonly #opening: Opening;
  readonly #write: (status: StatusName, fields: object) => void;
  #about: { readonly answeredBy?: AnsweredBy; readonly rowCount?: number } = {};

  constructor(opening: Opening, write: (status: StatusName, fields: object) => void) {
    this.#opening = opening;
    this.#write = write;
  }

  /** @param rowCount rows of the request */
  served(answeredBy: AnsweredBy, rowCount: number): void {
    this.#about = { answeredBy, rowCount };
  }

  stage(stage: Stage, startMs: number, endMs: number): void {
    this.#opening.trace?.stage(stage, startMs, endMs);
  }

  /** Called once. */
  end(status: StatusName, call: { requestId(): string }): void {
    const { method, receivedAtMs, trace } = this.#opening;
    const endMs = performance.now();
    trace?.end(status, endMs, this.#about);
    const durationMs = Math.round((endMs - receivedAtMs) * 1000) / 1000;
    this.#write(status, { method, status, durationMs, requestId: call.requestId(), ...this.fields() });
  }

  /** Fields for the log, as far as they are known. */
  fields(): Readonly<Record<string, unknown>> {
    const { answeredBy, rowCount } = this.#about;
    const { trace } = this.#opening;
    return {
      ...(answeredBy && { model: answeredBy.model, version: answeredBy.version, rowCount }),
      ...(trace && { traceId: trace.id }),
    };
  }
}
