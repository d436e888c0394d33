/**
 * Limits the deadline in a header to 24.8 days, the longest time of a timer. The libraries cut milliseconds to 32 bits, so a deadline in
 * 30 days would pass at once.
 */

import type { IncomingHttpHeaders } from 'node:http';
import { timerMsMax } from '../../src/contract/timers.ts';

const msPerUnit = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 } as const;

/** The library reads only the last eight digits of a longer number. */
const digitCountMax = 8;
/** In whole hours. */
const longestGrpc = `${Math.floor(timerMsMax / msPerUnit.H)}H`;

/** Rewrites a `grpc-timeout` that is too large. Invalid ones stay, since the library refuses them. */
export function boundGrpcTimeout(headers: IncomingHttpHeaders): void {
  const [, amount, unit] = /^(\d+)([HMSmun])$/.exec(`${headers['grpc-timeout']}`) ?? [];
  if (amount === undefined) return;
  const ms = Number(amount) * msPerUnit[unit as keyof typeof msPerUnit];
  if (ms > timerMsMax) headers['grpc-timeout'] = longestGrpc;
  else if (amount.length > digitCountMax) headers['grpc-timeout'] = `${Math.ceil(ms / msPerUnit.S)}S`;
}

/** The same for `connect-timeout-ms` of the HTTP port. */
export function boundConnectTimeout(headers: IncomingHttpHeaders): void {
  const given = `${headers['connect-timeout-ms']}`;
  if (/^\d+$/.test(given) && Number(given) > timerMsMax) headers['connect-timeout-ms'] = `${timerMsMax}`;
}
