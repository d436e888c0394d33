/**
 * Who may ask the HTTP ports: under which names of the server, and from which web pages. A page that resolves its own name to this machine
 * (DNS rebinding) is the same origin to a browser; it gives itself away by that name.
 */

import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { cors } from '@connectrpc/connect';

/**
 * Addresses, `localhost` and this machine's own name are known; so is no name at all, which no browser sends.
 * @param names further ones, without a port
 * @returns true where a request names another, which is then answered with 421
 */
export function createHostCheck(
  names: readonly string[],
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const known = new Set(['', 'localhost', hostname(), ...names].map((name) => name.toLowerCase()));
  return ({ headers }, response) => {
    const name = nameOf(headers.host ?? '');
    if (known.has(name) || isIP(name) !== 0) return false;
    const shown = JSON.stringify(name.slice(0, 100));
    response.writeHead(421, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`host: expected an address or a known name, got ${shown}. Name it with --http-host\n`);
    return true;
  };
}

/** Of a `Host` header: without its port, the brackets of an address, and a last dot; in lower case. */
const nameOf = (host: string): string =>
  host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();

/** A token, and what carries a page's trace on. */
const ownHeaders = ['authorization', 'traceparent', 'tracestate', 'baggage'];
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
