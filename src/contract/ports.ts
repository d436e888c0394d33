/** Addresses to listen on: as text, listened on, and the error for one that cannot be. */

import type { AddressInfo, Server } from 'node:net';
import { failedPrecondition, type HyperpolicyError } from './errors.ts';

/** `host:port`, with an IPv6 address in brackets. */
export const addressOf = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/**
 * Has a server listen.
 * @param refusal what is thrown where the port cannot be had
 * @returns the port that was bound, where 0 is asked for
 */
export const listenOn = (
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
  refusal: (cause: NodeJS.ErrnoException) => Error,
): Promise<number> =>
  new Promise((resolve, reject) => {
    // Stays: a connection that cannot be taken later ends no server.
    server.on('error', (cause) => reject(refusal(cause)));
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });

/** @param setting the setting that names the port, for the remedy */
export function portInUse(setting: string, address: string, cause: Error): HyperpolicyError {
  const where = `listening on ${address}`;
  if (/EADDRNOTAVAIL|ENOTFOUND|EAI_AGAIN/.test(cause.message)) {
    return failedPrecondition({
      where,
      expected: 'an address of this machine',
      actual: 'one that it does not have',
      remedy: 'Choose another: --host ADDRESS, or 0.0.0.0 for every one',
      cause,
    });
  }
  const reason = /EADDRINUSE/.test(cause.message)
    ? 'one that is in use'
    : /EACCES/.test(cause.message)
      ? 'one that needs more rights'
      : cause.message;
  return failedPrecondition({
    where,
    expected: 'a free port',
    actual: reason,
    remedy: `Choose another ${setting}: --${setting.replaceAll(' ', '-')} N, or 0 for any that is free`,
    cause,
  });
}
