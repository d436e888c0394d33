/**
 * Every request of the HTTP port, counted and logged once: by what its handler says of it, or by the HTTP status where it is refused
 * before a handler sees it (no such path, another content type, no JSON, too large, an origin that is not listed).
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { DescMethodUnary } from '@bufbuild/protobuf';
import { type ContextValues, createContextKey, createContextValues } from '@connectrpc/connect';
import type { StatusName } from '../../src/contract/status.ts';
import type { Call } from '../call/rpc.ts';
import { boundConnectTimeout } from './deadline-headers.ts';
import { createInvocations, type Invocations, type MethodDeps } from './invocation.ts';

/** What a handler says of its request; without a call none has seen it. */
export type HttpCall = { call?: Call; status?: StatusName };

export type HttpCalls = {
  /** Notes what becomes of each request. */
  watch(next: RequestListener): RequestListener;
  /** For the library, which hands it to handlers. */
  contextValues(request: object): ContextValues;
};

/** Where a handler says what becomes of its request. */
export const httpCallOf = ({ values }: { readonly values: ContextValues }): HttpCall => values.get(httpCallKey);

const httpCallKey = createContextKey<HttpCall>({});

/** @param methods those that are served; every other path counts as the one method `other` */
export function createHttpCalls(methods: readonly DescMethodUnary[], deps: MethodDeps): HttpCalls {
  const known = new Map<string, Invocations>();
  for (const method of methods) {
    known.set(`/${method.parent.typeName}/${method.name}`, createInvocations(method, 'unary', deps));
  }
  const other = createInvocations(otherMethod, 'other', deps);
  const httpCalls = new WeakMap<object, HttpCall>();
  return {
    contextValues: (request) => createContextValues().set(httpCallKey, httpCalls.get(request) ?? {}),
    watch: (next) => (request, response) => {
      const receivedAtMs = performance.now();
      boundConnectTimeout(request.headers);
      const invocations = known.get(request.url?.split('?', 1)[0] ?? '') ?? other;
      const httpCall: HttpCall = {};
      httpCalls.set(request, httpCall);
      invocations.counts.started();
      // After the answer, or where the client has left before it.
      response.once('close', () => {
        const status = statusOf(httpCall, request, response);
        if (httpCall.call !== undefined) {
          if (status === 'OK') invocations.counts.sent();
          invocations.end(status, httpCall.call);
          return;
        }
        deps.log.debug({ method: invocations.name, status, httpStatus: response.statusCode }, 'request refused');
        const headers = (header: string) => request.headers[header]?.toString();
        invocations.end(status, invocations.open({ receivedAtMs, deadlineMs: Number.POSITIVE_INFINITY, headers }));
      });
      next(request, response);
    },
  };
}

const otherMethod = { parent: { typeName: 'other' }, name: 'other', input: { typeName: 'other' } };

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
  // Another server's name.
  421: 'PERMISSION_DENIED',
  429: 'RESOURCE_EXHAUSTED',
  501: 'UNIMPLEMENTED',
  504: 'DEADLINE_EXCEEDED',
  505: 'UNIMPLEMENTED',
};
