/** Rules for settings that open ports to other machines, and web origins. */

import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { failedPrecondition } from '../src/contract/errors.ts';

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
 * Everybody who reaches the admin port can change what is served.
 * @throws HyperpolicyError failed_precondition: other machines could reach it, and no setting allows that
 */
export function checkExposure(config: {
  readonly host: string;
  readonly adminPort: number | null;
  readonly adminOpen: boolean;
  readonly tokensFile: string | null;
  readonly tlsCertificateFile: string | null;
}): void {
  const { host, adminPort, adminOpen, tokensFile, tlsCertificateFile } = config;
  if (adminPort === null || adminOpen || isLoopback(host)) return;
  if (tokensFile !== null || tlsCertificateFile !== null) return;
  throw failedPrecondition({
    where: 'admin port',
    expected: 'tokens or TLS where other machines reach it',
    actual: `host ${JSON.stringify(host)} and neither`,
    remedy: 'Set --tokens, or --tls-certificate and --tls-key; --admin-open lets everybody in',
  });
}

/**
 * A web origin as browsers write it: scheme and host in lower case, no default port, no path.
 * A zod transform: it adds an issue if the text is not an origin.
 */
export function webOrigin(text: string, context: z.core.$RefinementCtx<string>): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol) && /^https?:\/\/[^/?#@\s]+\/?$/i.test(text))
    return url.origin;
  const expected =
    'a web origin: http or https, a host, a port where it is not the usual one, such as https://lab.example';
  context.addIssue({ code: 'custom', message: expected });
  return z.NEVER;
}
