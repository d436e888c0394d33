/**
 * Every request of the HTTP port, counted and logged once: by what its handler says of it, or by the HTTP status where it is refused
 * before a handler sees it (no such path, another content type, no JSON, too large, an origin that is not listed).
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { DescMethodUnary } from '@bufbuild/protobuf';
import { type ContextValues, createContextKey, createContextValues, type HandlerContext } from '@connectrpc/connect';
import type { OpenRecord } from '../call/request-record.ts';
import type { Call } from '../call/rpc.ts';
import type { StatusName } from '../call/status.ts';
import type { MethodMetrics } from '../telemetry/metrics.ts';
import { callAt, type MethodDeps } from './grpc-call.ts';

/** What a handler says of its request; without a call none has seen it. */
export type HttpCall = { call?: Call; status?: StatusName };

export type HttpCalls = {
  /** Notes what becomes of each request. */
  watch(next: RequestListener): RequestListener;
  /** For the library, which hands it to handlers. */
  contextValues(request: object): ContextValues;
};

/** Where a handler says what becomes of its request. */
export const httpCallOf = ({ values }: Pick<HandlerContext, 'values'>): HttpCall => values.get(httpCallKey);

const httpCallKey = createContextKey<HttpCall>({});

type Known = { readonly name: string; readonly counts: MethodMetrics; readonly openRecord: OpenRecord | undefined };

/** @param methods those that are served; every other path counts as the one method `other` */
export function createHttpCalls(
  methods: readonly DescMethodUnary[],
  { metrics, log, recorder }: Pick<MethodDeps, 'metrics' | 'log' | 'recorder'>,
): HttpCalls {
  const known = new Map<string, Known>();
  for (const { parent, name } of methods) {
    const counts = metrics.method({ type: 'unary', service: parent.typeName, method: name });
    known.set(`/${parent.typeName}/${name}`, { name, counts, openRecord: recorder?.method(parent.typeName, name) });
  }
  const other: Known = {
    name: 'other',
    counts: metrics.method({ type: 'other', service: 'other', method: 'other' }),
    openRecord: recorder?.method('other', 'other'),
  };
  const slots = new WeakMap<object, HttpCall>();

  function end({ name, counts, openRecord }: Known, { headers }: IncomingMessage, ended: Ended): void {
    const { call, status, arrivedAtMs, httpStatus } = ended;
    counts.handled(status, (performance.now() - (call?.receivedAtMs ?? arrivedAtMs)) / 1000);
    if (call !== undefined) {
      if (status === 'OK') counts.sent();
      call.record?.end(status, call);
      return;
    }
    log.debug({ method: name, status, httpStatus }, 'request refused');
    const record = openRecord?.(arrivedAtMs, (header) => headers[header]?.toString());
    record?.end(status, callAt(arrivedAtMs, Number.POSITIVE_INFINITY));
  }

  return {
    contextValues: (request) => createContextValues().set(httpCallKey, slots.get(request) ?? {}),
    watch: (next) => (request, response) => {
      const arrivedAtMs = performance.now();
      const method = known.get(request.url?.split('?', 1)[0] ?? '') ?? other;
      const slot: HttpCall = {};
      slots.set(request, slot);
      method.counts.started();
      // After the answer, or where the client has left before it.
      response.once('close', () => {
        const status = statusOf(slot, request, response);
        end(method, request, { call: slot.call, status, arrivedAtMs, httpStatus: response.statusCode });
      });
      next(request, response);
    },
  };
}

type Ended = {
  readonly call: Call | undefined;
  readonly status: StatusName;
  readonly arrivedAtMs: number;
  readonly httpStatus: number;
};

function statusOf({ status }: HttpCall, { method, headers }: IncomingMessage, response: ServerResponse): StatusName {
  if (status !== undefined && status !== 'OK') return status;
  if (!response.writableFinished) return status ?? 'CANCELLED';
  if (status === 'OK' && response.statusCode === 200) return 'OK';
  // A browser that asks whether a page may call.
  if (method === 'OPTIONS' && headers.origin !== undefined) return 'PERMISSION_DENIED';
  return refusals[response.statusCode] ?? (response.statusCode >= 500 ? 'INTERNAL' : 'INVALID_ARGUMENT');
}

/** What the library says by itself; of a stream, which needs HTTP/2, inside of a 200 or with 505. */
const refusals: Readonly<Record<number, StatusName>> = {
  200: 'UNIMPLEMENTED',
  404: 'UNIMPLEMENTED',
  405: 'UNIMPLEMENTED',
  429: 'RESOURCE_EXHAUSTED',
  501: 'UNIMPLEMENTED',
  504: 'DEADLINE_EXCEEDED',
  505: 'UNIMPLEMENTED',
};
