/** What settings let in from outside this machine: rules over several settings, and names that browsers send. */

import { BlockList, isIP } from 'node:net';
import { z } from 'zod';
import { failedPrecondition } from '../src/contract/errors.ts';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Whether only this machine reaches what listens there. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host.toLowerCase() === 'localhost';
  return loopback.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

/**
 * Who can reach the admin port can change what is served.
 * @throws HyperpolicyError failed_precondition: it would be open to other machines, and nobody said so
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
 * A web origin as browsers write it: scheme and host in lower case, no default port, nothing after it.
 * To be used by a schema: what is no origin is one of its issues.
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
