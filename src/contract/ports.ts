/** Addresses to listen on: as text, listened on, and the error for one that cannot be. */

import type { AddressInfo, Server } from 'node:net';
import { failedPrecondition, type HyperpolicyError } from './errors.ts';

/** `host:port`, with an IPv6 address in brackets. */
export const addressOf = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/** The error for a port that cannot be bound. @param address as addressOf has it */
export type PortRefusal = (cause: NodeJS.ErrnoException, address: string) => Error;

/**
 * Has a server listen.
 * @returns the port that was bound, where 0 is asked for
 * @throws Error as `refusal` has it
 */
export const listenOn = (
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
  refusal: PortRefusal,
): Promise<number> =>
  new Promise((resolve, reject) => {
    // This listener stays: a later error, such as a connection that cannot be accepted, must not end the process.
    server.on('error', (cause) => reject(refusal(cause, addressOf(host, port))));
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });

/** @param setting the setting that names the port, for the remedy */
export const portInUse =
  (setting: string) =>
  (cause: Error, address: string): HyperpolicyError => {
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
  };
