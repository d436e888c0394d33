/**
 * Whom a request may name as its server. A web page that resolves its own name to this machine (DNS rebinding) is the same origin to a
 * browser; it gives itself away by that name.
 */

import type { RequestListener } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';

/**
 * Refuses requests for other names with 421. Addresses, `localhost` and this machine's own name are known; so is no name at all,
 * which no browser sends.
 * @param names further ones, without a port
 */
export function withKnownHosts(next: RequestListener, names: readonly string[]): RequestListener {
  const known = new Set(['localhost', hostname(), ...names].map((name) => name.toLowerCase()));
  return (request, response) => {
    const name = nameOf(request.headers.host ?? '');
    if (name === '' || known.has(name) || isIP(name) !== 0) {
      next(request, response);
      return;
    }
    const shown = JSON.stringify(name.slice(0, 100));
    response.writeHead(421, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`host: expected an address or a known name, got ${shown}. Name it with --http-host\n`);
  };
}

/** Of a `Host` header: without its port, the brackets of an address, and a last dot; in lower case. */
const nameOf = (host: string): string =>
  host
    .replace(/:\d*$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
