/** Connect's handlers as a listener of Node's HTTP server, with our own words for what the library refuses by itself. */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { ConnectRouter, ContextValues } from '@connectrpc/connect';
import { universalRequestFromNodeRequest, universalResponseToNodeResponse } from '@connectrpc/connect-node';
import type { Logger } from 'pino';
import { httpCallOf } from './http-calls.ts';
import { refusalOf } from './http-refusals.ts';

type Handler = ConnectRouter['handlers'][number];

export type HttpAnswersOptions = {
  readonly handlers: readonly Handler[];
  readonly contextValues: (request: object) => ContextValues;
  /** Of a body. */
  readonly bytesMax: number;
  readonly log: Logger;
};

export function createHttpAnswers(options: HttpAnswersOptions): RequestListener {
  const { handlers, log } = options;
  const byPath = new Map(handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const handler = byPath.get(request.url?.split('?', 1)[0] ?? '');
    if (handler === undefined) {
      response.writeHead(404).end();
      return;
    }
    answer(handler, { request, response }, options).catch((error: unknown) => {
      // The client has left, or the server closes.
      log.debug({ err: error, method: handler.method.name }, 'request ended early');
      response.destroy();
    });
  };
}

async function answer(
  handler: Handler,
  { request, response }: { readonly request: IncomingMessage; readonly response: ServerResponse },
  { contextValues, bytesMax }: HttpAnswersOptions,
): Promise<void> {
  const values = contextValues(request);
  if (request.headers.host === undefined) {
    response.writeHead(400).end();
    return;
  }
  const kept: Uint8Array[] = [];
  const asked = universalRequestFromNodeRequest(request, response, undefined, values);
  const body = keeping(asked.body as AsyncIterable<Uint8Array>, kept);
  const answered = await handler({ ...asked, body });
  const own =
    answered.status === 200 || httpCallOf({ values }).call !== undefined || asked.signal.aborted
      ? undefined
      : await refusalOf(answered.status, {
          method: handler.method,
          header: asked.header,
          body: Buffer.concat(kept),
          bytesMax,
        });
  if (own === undefined) return universalResponseToNodeResponse(answered, response);
  response.writeHead(own.httpStatus, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ code: own.code, message: own.text }));
}

/** Passes a body on and keeps it, for as long as the library reads: it reads no more than it may. */
async function* keeping(body: AsyncIterable<Uint8Array>, kept: Uint8Array[]): AsyncIterable<Uint8Array> {
  for await (const piece of body) {
    kept.push(piece);
    yield piece;
  }
}
