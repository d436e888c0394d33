/**
 * The hosts that no proxy is asked for: those of loopback, and those of no_proxy as curl reads it. The library's own reading takes a space
 * into a name, a comma at the end for every host, and knows neither capitals, `*`, ports nor networks of IPv6.
 */

import { BlockList, isIP } from 'node:net';
import { isLoopback } from '../../src/contract/known-hosts.ts';

/**
 * @param address `host:port`
 * @param noProxy hosts, domains, addresses and networks, each with or without a port; `*` is all
 */
export function isDirect(address: string, noProxy: string): boolean {
  const colon = address.lastIndexOf(':');
  const port = address.slice(colon + 1);
  // Addresses have many spellings; a URL has one of each. What no URL takes is no address.
  const url = `http://${address}`;
  const name = URL.canParse(url) ? new URL(url).hostname : address.slice(0, colon).toLowerCase();
  const host = name.replace(/^\[|\]$|\.$/g, '');
  const entries = noProxy.toLowerCase().split(/[\s,]+/);
  return isOwn(host) || entries.some((entry) => entry !== '' && covers(entry, host, port));
}

const isOwn = (host: string): boolean =>
  isLoopback(host) || host.endsWith('.localhost') || host === '0.0.0.0' || host === '::';

function covers(entry: string, host: string, port: string): boolean {
  // Of an address of IPv6 only what follows its bracket is a port.
  const [, named, ofPort] = /^(\[.*\]|[^:]*):(\d+)$/.exec(entry) ?? [undefined, entry];
  if (ofPort !== undefined && ofPort !== port) return false;
  const name = named!.replace(/^\[|\]/g, '');
  const [, network, bits] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(name) ?? [];
  if (network !== undefined && isIP(network) !== 0) return isIP(host) !== 0 && isWithin(network, bits, host);
  const domain = name.replace(/^\*?\./, '').replace(/\.$/, '');
  return domain === '*' || (isIP(host) === 0 && `.${host}`.endsWith(`.${domain}`));
}

/** @param bits digits; without them the network is one address */
function isWithin(network: string, bits: string | undefined, host: string): boolean {
  const addresses = new BlockList();
  const [bitsMax, family] = isIP(network) === 4 ? ([32, 'ipv4'] as const) : ([128, 'ipv6'] as const);
  const bitCount = Number(bits ?? bitsMax);
  if (bitCount > bitsMax) return false;
  addresses.addSubnet(network, bitCount, family);
  return addresses.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6');
}
