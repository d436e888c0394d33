/**
 * Hosts: the addresses that only this machine reaches, and the host names that a request may use for this server. With DNS rebinding a web
 * page resolves its own name to this machine, and the browser takes the two for one origin. Such a request has the page's name in its Host
 * header.
 */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { hostname } from 'node:os';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Whether only this machine can reach this address. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  return loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * Addresses, `localhost` and this machine's own name are known. A request without a name passes too: no browser sends one.
 * @param names further ones, without a port
 * @param remedy what to do about a name that is not known
 * @returns true if a request names another, which is then answered with 421
 */
export function createHostCheck(
  names: readonly string[],
  remedy: string,
): (request: IncomingMessage, response: ServerResponse) => boolean {
  const known = new Set(['', 'localhost', hostname(), ...names].map((name) => name.toLowerCase()));
  return ({ headers }, response) => {
    const name = nameOf(headers.host ?? '');
    if (known.has(name) || isIP(name) !== 0) return false;
    const shown = JSON.stringify(name.slice(0, 100));
    response.writeHead(421, { 'content-type': 'text/plain; charset=utf-8' });
    response.end(`host: expected an address or a known name, got ${shown}. ${remedy}\n`);
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
