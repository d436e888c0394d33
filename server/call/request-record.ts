/**
 * The record of a single request, which becomes a line of the request log, a trace, or both. Counts over all requests are metrics.ts.
 * A record never holds tensors, tokens or paths.
 */

import type { Logger } from 'pino';
import type { StatusName } from '../../src/contract/status.ts';

/** Where time goes: waiting for a worker, weights being generated, the dynamic (or whole plain) network, writing the response. */
export type Stage = 'queue' | 'primary' | 'dynamic' | 'encode';

/** What a request is answered with. */
export type AnsweredBy = { readonly model: string; readonly version: number };

/** The trace of one request. Times are on the clock of `performance.now()`. */
export type RequestTrace = {
  /** 32 hexadecimal digits. */
  readonly id: string;
  stage(stage: Stage, startMs: number, endMs: number): void;
  end(status: StatusName, endMs: number, about: { readonly answeredBy?: AnsweredBy; readonly rowCount?: number }): void;
};

/** Begins the trace of a request, as a part of the client's where its `traceparent` says so; undefined where it is not sampled. */
export type Tracer = (
  service: string,
  method: string,
  startMs: number,
  header: HeaderReader,
) => RequestTrace | undefined;

/** The record of one request. Times are on the clock of `performance.now()`. */
export type RequestRecord = {
  /** The version that answers, and the rows that were asked for. */
  served(by: AnsweredBy, rowCount: number): void;
  stage(stage: Stage, startMs: number, endMs: number): void;
  /** The first end counts. A request whose client left its stream has none. */
  end(status: StatusName, call: { requestId(): string }): void;
  /** For the log: what is known so far. */
  fields(): Readonly<Record<string, unknown>>;
};

/** Reads a header (gRPC metadata) of the request. */
export type HeaderReader = (name: string) => string | undefined;

/** Opens the record of a request of one method. */
export type OpenRecord = (receivedAtMs: number, header: HeaderReader) => RequestRecord;

export type RequestRecorder = {
  method(service: string, name: string): OpenRecord;
};

export type RecorderOptions = {
  readonly log: Logger;
  /** One of so many requests gets a line, and each that fails with INTERNAL; 0 is none. */
  readonly requestLogEvery: number;
  readonly tracer: Tracer | undefined;
};

/** Undefined where requests are neither logged nor traced: they then cost nothing more. */
export function createRequestRecorder({ log, requestLogEvery, tracer }: RecorderOptions): RequestRecorder | undefined {
  if (requestLogEvery === 0 && tracer === undefined) return undefined;
  let requestCount = 0;
  return {
    method: (service, name) => (receivedAtMs, header) => {
      const isLogged = requestLogEvery > 0 && requestCount++ % requestLogEvery === 0;
      const trace = tracer?.(service, name, receivedAtMs, header);
      const write = (status: StatusName, fields: object) => {
        if (status === 'INTERNAL' && requestLogEvery > 0) log.error(fields, 'request');
        else if (isLogged) log.info(fields, 'request');
      };
      return createRecord(name, receivedAtMs, trace, write);
    },
  };
}

function createRecord(
  method: string,
  receivedAtMs: number,
  trace: RequestTrace | undefined,
  write: (status: StatusName, fields: object) => void,
): RequestRecord {
  let ended = false;
  let answeredBy: AnsweredBy | undefined;
  let rowCount: number | undefined;
  const fields = () => ({
    ...(answeredBy && { model: answeredBy.model, version: answeredBy.version }),
    ...(rowCount !== undefined && { rowCount }),
    ...(trace && { traceId: trace.id }),
  });
  return {
    served(by, rows) {
      answeredBy = by;
      rowCount = rows;
    },
    stage: (stage, startMs, endMs) => trace?.stage(stage, startMs, endMs),
    fields,
    end(status, call) {
      if (ended) return;
      ended = true;
      const endMs = performance.now();
      trace?.end(status, endMs, { ...(answeredBy && { answeredBy }), ...(rowCount !== undefined && { rowCount }) });
      write(status, {
        method,
        status,
        durationMs: Math.round((endMs - receivedAtMs) * 1000) / 1000,
        requestId: call.requestId(),
        ...fields(),
      });
    },
  };
}
