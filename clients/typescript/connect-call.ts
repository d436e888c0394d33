/** One call over HTTP by Connect's protocol, as browsers and Node make it with `fetch`. */

import { create, type DescMethod, fromBinary, toBinary } from '@bufbuild/protobuf';
import { unavailable } from '../../src/contract/errors.ts';
import { type StatusName, statusCodes } from '../../src/contract/status.ts';
import { timerMs } from '../../src/contract/timers.ts';
import type { CallUnary } from './call-options.ts';
import { closedError, lateError, lostError, toClientError, tooLargeError, tooLargeResponseError } from './errors.ts';
import { type Sender, unusable } from './received.ts';

export type HttpPeer = {
  /** Without a slash at its end. */
  readonly url: string;
  readonly messageBytesMax: number;
  /** Aborts when the client is closed. */
  readonly closed: AbortSignal;
  headers(own: Readonly<Record<string, string>> | undefined, routingKey: string | undefined): Record<string, string>;
};

/** Calls over HTTP. */
export const connectCaller =
  ({ url, messageBytesMax, closed, headers }: HttpPeer): CallUnary =>
  async ({ parent, name, input, output }, request, { timeoutMs, signal, metadata, routingKey }) => {
    const from = { method: name, address: url };
    if (closed.aborted) throw closedError(name);
    signal?.throwIfAborted();
    const body = toBinary(input, create(input, request)) as Uint8Array<ArrayBuffer>;
    if (body.length > messageBytesMax) throw tooLargeError(`${name} request`, messageBytesMax, body.length);
    const waitMs = timerMs(timeoutMs);
    const giveUp = new AbortController();
    const timer = setTimeout(() => giveUp.abort(lateError(name, url, waitMs)), waitMs);
    const abort = () => giveUp.abort(signal!.reason);
    const close = () => giveUp.abort(closedError(name));
    signal?.addEventListener('abort', abort, { once: true });
    closed.addEventListener('abort', close, { once: true });
    try {
      const response = await reach(from, `${url}/${parent.typeName}/${name}`, {
        method: 'POST',
        body,
        signal: giveUp.signal,
        headers: {
          ...headers(metadata, routingKey),
          'content-type': 'application/proto',
          'connect-protocol-version': '1',
          'connect-timeout-ms': `${Math.ceil(waitMs)}`,
        },
      });
      const answer = await received(from, response, messageBytesMax);
      if (answer.status !== 200) throw refusalOf(from, answer, waitMs);
      if (answer.type !== 'application/proto')
        throw unusable(from, `a response of type ${JSON.stringify(answer.type)}`);
      return parsed(from, output, answer.bytes);
    } catch (error) {
      throw giveUp.signal.aborted ? giveUp.signal.reason : error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      closed.removeEventListener('abort', close);
    }
  };

type Answer = { readonly status: number; readonly type: string; readonly bytes: Uint8Array };

async function reach({ method, address }: Sender, url: string, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    throw unreachable(method, address, error);
  }
}

async function received(from: Sender, { status, headers, body }: Response, bytesMax: number): Promise<Answer> {
  const type = headers.get('content-type')?.split(';', 1)[0] ?? '';
  return { status, type, bytes: body === null ? new Uint8Array() : await readUpTo(bytesMax, from, body.getReader()) };
}

type BodyReader = ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>;

/** Reads no further than the limit, whatever the server goes on to send. */
async function readUpTo(bytesMax: number, from: Sender, reader: BodyReader): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let byteCount = 0;
  for (;;) {
    const piece = await nextOf(from, reader);
    if (piece === undefined) return joined(pieces, byteCount);
    byteCount += piece.length;
    if (byteCount > bytesMax) {
      // Nothing comes of it but the end of the connection.
      reader.cancel().catch(() => {});
      throw tooLargeResponseError(from, bytesMax, 'a longer one');
    }
    pieces.push(piece);
  }
}

/** @returns undefined at the end */
async function nextOf({ method, address }: Sender, reader: BodyReader): Promise<Uint8Array | undefined> {
  try {
    return (await reader.read()).value;
  } catch (error) {
    throw lostError(method, address, (error as Error).message);
  }
}

function joined(pieces: readonly Uint8Array[], byteCount: number): Uint8Array {
  if (pieces.length === 1) return pieces[0]!;
  const bytes = new Uint8Array(byteCount);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}

/** Browsers keep to themselves why. */
function unreachable(where: string, address: string, error: unknown): Error {
  const { message, cause } = error as Error & {
    readonly cause?: { readonly code?: string; readonly message?: string };
  };
  const refused = cause?.code === 'ECONNREFUSED';
  return unavailable({
    where,
    expected: `a server at ${address}`,
    actual: refused ? 'a refused connection' : (cause?.message ?? message),
    remedy: refused
      ? 'Start one with "hyperpolicy serve --http-port", or name another URL'
      : 'Check the URL; for a web page, that the server names its origin with --http-origin',
  });
}

/** What stands between client and server may answer without Connect's body: then the HTTP status says what it means. */
const codeByHttpStatus: Readonly<Record<number, string>> = {
  401: 'unauthenticated',
  403: 'permission_denied',
  404: 'unimplemented',
  405: 'unimplemented',
  429: 'unavailable',
  502: 'unavailable',
  503: 'unavailable',
  504: 'unavailable',
};

function refusalOf({ method, address }: Sender, { status, type, bytes }: Answer, timeoutMs: number): Error {
  const { code = codeByHttpStatus[status] ?? 'unknown', message = `HTTP status ${status}` } =
    type === 'application/json' ? toldIn(bytes) : {};
  // Connect spells it with one l.
  const name = code === 'canceled' ? 'CANCELLED' : code.toUpperCase();
  const number = statusCodes[name as StatusName] ?? unknownCode;
  return toClientError({ code: number, details: message }, { address, method, timeoutMs });
}

/** A code of gRPC that stands for no kind of error. */
const unknownCode = 2;

function toldIn(bytes: Uint8Array): { readonly code?: string; readonly message?: string } {
  try {
    const { code, message } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    return { ...(typeof code === 'string' && { code }), ...(typeof message === 'string' && { message }) };
  } catch {
    return {};
  }
}

function parsed<O extends DescMethod['output']>(from: Sender, schema: O, bytes: Uint8Array) {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw unusable(from, `a response that does not parse (${(cause as Error).message})`, cause);
  }
}
