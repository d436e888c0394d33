/** An HTTP server on its port. */

import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { addressOf, portInUse } from '../call/ports.ts';

/**
 * @param setting names the port, for errors
 * @returns the port that was bound, where 0 is asked for
 * @throws HyperpolicyError failed_precondition where the port cannot be had
 */
export const listenOn = (
  server: Server,
  { host, port, setting }: { readonly host: string; readonly port: number; readonly setting: string },
): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', (error) => reject(portInUse(setting, addressOf(host, port), error)));
    server.listen(port, host, () => resolve((server.address() as AddressInfo).port));
  });
