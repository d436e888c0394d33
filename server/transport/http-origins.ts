/** Origins of web pages that may call the HTTP port (CORS). Host names of the server: src/contract/known-hosts.ts. */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { cors } from '@connectrpc/connect';

/** For a token, for a load balancer, and for the trace of a page. */
const ownHeaders = ['authorization', 'hyperpolicy-routing-key', 'traceparent', 'tracestate', 'baggage'];
const allowedHeaders = [...cors.allowedHeaders, ...ownHeaders].map((name) => name.toLowerCase()).join(', ');
const allowedMethods = cors.allowedMethods.join(', ');
const exposedHeaders = cors.exposedHeaders.join(', ');
/** How long a browser may keep the answer, seconds. */
const maxAge = '7200';

/**
 * Allows pages of these origins to call, with the headers of calls and traces.
 * @param origins as browsers write them; without any, cross-origin requests are off
 */
export function withCors(next: RequestListener, origins: readonly string[]): RequestListener {
  if (origins.length === 0) return next;
  return (request: IncomingMessage, response: ServerResponse) => {
    const { origin } = request.headers;
    // Also for refusals, so that caches keep the answer for this origin only.
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
