/** From which web pages the HTTP port may be asked. Under which names of the server: known-hosts.ts. */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { cors } from '@connectrpc/connect';

/** A token, what a balancer goes by, and what carries a page's trace on. */
const ownHeaders = ['authorization', 'hyperpolicy-routing-key', 'traceparent', 'tracestate', 'baggage'];
const allowedHeaders = [...cors.allowedHeaders, ...ownHeaders].map((name) => name.toLowerCase()).join(', ');
const allowedMethods = cors.allowedMethods.join(', ');
const exposedHeaders = cors.exposedHeaders.join(', ');
/** How long a browser need not ask again, in seconds. */
const maxAge = '7200';

/**
 * Lets pages of these origins call, with the headers that a call or a trace of it has.
 * @param origins as browsers write them; without any, cross-origin requests stay off
 */
export function withCors(next: RequestListener, origins: readonly string[]): RequestListener {
  if (origins.length === 0) return next;
  return (request: IncomingMessage, response: ServerResponse) => {
    const { origin } = request.headers;
    // Also where the answer is no: a cache on the way may keep it for this origin only.
    response.setHeader('vary', 'origin');
    if (origin !== undefined && origins.includes(origin)) {
      response.setHeader('access-control-allow-origin', origin);
      response.setHeader('access-control-expose-headers', exposedHeaders);
      if (request.method === 'OPTIONS') {
        response.setHeader('access-control-allow-methods', allowedMethods);
        response.setHeader('access-control-allow-headers', allowedHeaders);
        response.setHeader('access-control-max-age', maxAge);
        response.writeHead(204).end();
        return;
      }
    }
    next(request, response);
  };
}
