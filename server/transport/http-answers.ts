/**
 * The methods of a service as a listener of Node's HTTP server, with Connect's library. Every request is counted and logged once: with
 * the status of its handler, or by its HTTP status if it was refused earlier (unknown path, another content type, no JSON, too large, an
 * origin that is not listed).
 */

import type { IncomingHttpHeaders, IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { DescService } from '@bufbuild/protobuf';
import { Code, ConnectError, type ConnectRouter, createConnectRouter, createContextValues } from '@connectrpc/connect';
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node';
import { quoted, resourceExhausted } from '../../src/contract/errors.ts';
import { createHostCheck } from '../../src/contract/known-hosts.ts';
import type { StatusName } from '../../src/contract/status.ts';
import type { UnaryHandlers } from '../call/rpc.ts';
import { boundConnectTimeout } from './deadline-headers.ts';
import {
  acceptCompression,
  compressionOf,
  type HttpRefusal,
  isReadAsWritten,
  type RefusedRequest,
  refusalOf,
} from './http-refusals.ts';
import { type Admission, entering, httpCallKey, httpUnary } from './http-unary.ts';
import { Invocations, type MethodDeps } from './invocation.ts';
import { unaryMethodsOf } from './unary-methods.ts';

type Handler = ConnectRouter['handlers'][number];
type Exchange = Admission & { readonly request: IncomingMessage; readonly response: ServerResponse };

export function createHttpAnswers<S extends DescService>(
  service: S,
  handlers: UnaryHandlers<S>,
  deps: MethodDeps,
): RequestListener {
  const { host, httpHosts, messageBytesMax: bytesMax } = deps.config;
  const methods = unaryMethodsOf(service, handlers).map(([method, handler]) => {
    const invocations = new Invocations(method, 'unary', deps);
    return { method, invocations, answer: httpUnary(method, handler, invocations) };
  });
  const router = createConnectRouter({
    connect: true,
    grpc: false,
    grpcWeb: false,
    acceptCompression,
    readMaxBytes: bytesMax,
    writeMaxBytes: bytesMax,
    // By default the library ignores fields that it does not know.
    jsonOptions: { ignoreUnknownFields: false },
  }).service(service, Object.fromEntries(methods.map(({ method, answer }) => [method.localName, answer])) as object);
  const known = new Map(methods.map(({ method, invocations }) => [`/${service.typeName}/${method.name}`, invocations]));
  const handlerOf = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const other = new Invocations(otherMethod, 'other', deps);
  const refusesHost = createHostCheck([host, ...httpHosts], 'Name it with --http-host');

  return (request, response) => {
    const path = request.url?.split('?', 1)[0] ?? '';
    const headers = (header: string) => request.headers[header]?.toString();
    const exchange = { request, response, headers, invocations: known.get(path) ?? other, httpCall: {} };
    boundConnectTimeout(request.headers);
    plainJsonType(request.headers);
    count(exchange, deps);
    if (refusesHost(request, response)) return;
    const handler = known.has(path) ? handlerOf.get(path) : undefined;
    if (handler === undefined) {
      const text = `HTTP port: expected a path /${service.typeName}/METHOD of an RPC with one answer, got ${quoted(path)}`;
      // A stream needs another version of HTTP.
      refuse(response, { httpStatus: handlerOf.has(path) ? 505 : 404, code: 'unimplemented', text });
      return;
    }
    answer(handler, exchange, bytesMax).catch((error: unknown) => {
      // The client has left, or the server is closing.
      deps.log.debug({ err: error, method: handler.method.name }, 'request ended early');
      response.destroy();
    });
  };
}

/** Counts requests of unknown paths. */
const otherMethod = { parent: { typeName: 'other' }, name: 'other', input: { typeName: 'other' } };

/** Counts a request now, and its status when its response is over. */
function count(exchange: Exchange, { log }: MethodDeps): void {
  const { response, headers, invocations, httpCall } = exchange;
  const receivedAtMs = performance.now();
  invocations.counts.started();
  // After the answer, or when the client leaves.
  response.once('close', () => {
    const status = statusOf(exchange);
    if (httpCall.call !== undefined) {
      if (status === 'OK') invocations.counts.sent();
      invocations.end(status, httpCall.call);
      return;
    }
    log.debug({ method: invocations.name, status, httpStatus: response.statusCode }, 'request refused');
    invocations.end(status, invocations.open({ receivedAtMs, deadlineMs: Number.POSITIVE_INFINITY, headers }));
  });
}

function statusOf({ request: { method, headers }, response, httpCall: { status } }: Exchange): StatusName {
  if (status !== undefined && status !== 'OK') return status;
  if (!response.writableFinished) return 'CANCELLED';
  if (status === 'OK' && response.statusCode === 200) return 'OK';
  // A browser's preflight request that was not allowed.
  if (method === 'OPTIONS' && headers.origin !== undefined) return 'PERMISSION_DENIED';
  return refusals[response.statusCode] ?? (response.statusCode >= 500 ? 'INTERNAL' : 'INVALID_ARGUMENT');
}

/** Answers of the library itself. */
const refusals: Readonly<Record<number, StatusName>> = {
  404: 'UNIMPLEMENTED',
  405: 'UNIMPLEMENTED',
  // Another server's name.
  421: 'PERMISSION_DENIED',
  429: 'RESOURCE_EXHAUSTED',
  501: 'UNIMPLEMENTED',
  504: 'DEADLINE_EXCEEDED',
  505: 'UNIMPLEMENTED',
};

async function answer(handler: Handler, exchange: Exchange, bytesMax: number): Promise<void> {
  const { request, response, invocations, httpCall } = exchange;
  // HTTP/1.0 may leave it out, and the library needs it for the URL.
  const { host = '' } = request.headers;
  if (!URL.canParse(`http://${host}`)) {
    const text = `HTTP port: expected a header "host", got ${host === '' ? 'none' : quoted(host)}`;
    refuse(response, { httpStatus: 400, code: 'invalid_argument', text });
    return;
  }
  const values = createContextValues().set(httpCallKey, httpCall);
  const asked = universalRequestFromNodeRequest(request, response, undefined, values);
  const kept: Uint8Array[] = [];
  const pieces = keeping(asked.body as AsyncIterable<Uint8Array>, kept);
  const about = { method: handler.method, header: asked.header, body: kept, bytesMax };
  const body = entering(isJson(asked.header) ? asWritten(pieces, about) : pieces, exchange);
  const answered = await handler({ ...asked, body }).finally(() => {
    // The library could not decode it.
    if (httpCall.enteredAtMs !== undefined && httpCall.call === undefined) invocations.leave();
  });
  const isLibrarys = answered.status !== 200 && httpCall.call === undefined && !asked.signal.aborted;
  if (answered.status === 429 && httpCall.status === 'OK')
    return refuse(response, tooLarge(handler.method.name, bytesMax));
  const own = isLibrarys ? await refusalOf(answered.status, about) : undefined;
  if (own === undefined) return universalResponseToNodeResponse(answered, response);
  refuse(response, own);
}

/** An answer that was made and does not fit: the library's words lack the remedy. */
function tooLarge(method: string, bytesMax: number): HttpRefusal {
  const [where, expected, remedy] = [`${method} response`, `at most ${bytesMax} bytes`, 'Split the batch'];
  const { message } = resourceExhausted({ where, expected, actual: 'more', remedy });
  return { httpStatus: 429, code: 'resource_exhausted', text: message };
}

function refuse(response: ServerResponse, { httpStatus, code, text }: HttpRefusal): void {
  response.writeHead(httpStatus, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ code, message: text }));
}

/** The library knows the charset of JSON without quotes and spaces alone. */
function plainJsonType(headers: IncomingHttpHeaders): void {
  const type = headers['content-type'] ?? '';
  if (/^application\/json\s*;\s*charset="?utf-8"?$/i.test(type)) headers['content-type'] = 'application/json';
}

const isJson = (header: Headers): boolean => /^application\/json/i.test(header.get('content-type') ?? '');

/** @throws ConnectError after a body that does not decompress, or that the library would read as another */
async function* asWritten(
  pieces: AsyncIterable<Uint8Array>,
  { header, body, bytesMax }: RefusedRequest,
): AsyncIterable<Uint8Array> {
  yield* pieces;
  const sent = Buffer.concat(body);
  const json = await compressionOf(header)?.decompress(sent, bytesMax);
  if (!isReadAsWritten(json === undefined ? sent : Buffer.from(json.buffer, json.byteOffset, json.length)))
    throw new ConnectError('', Code.InvalidArgument);
}

/** Yields a body and keeps its pieces. The library reads at most `readMaxBytes`. */
async function* keeping(body: AsyncIterable<Uint8Array>, kept: Uint8Array[]): AsyncIterable<Uint8Array> {
  for await (const piece of body) {
    kept.push(piece);
    yield piece;
  }
}
