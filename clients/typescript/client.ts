/**
 * The TypeScript client of the policy service over gRPC: typed calls with deadlines and streams, over one connection.
 *
 * Defaults are those of every client here, in the README beside: 5 s per call, messages up to 4 MiB, no transport security.
 */

import { type ActStream, openActStream } from './act-stream.ts';
import type { ActStreamOptions } from './act-stream-options.ts';
import { checkOptions, checkTime } from './checks.ts';
import { type ConnectionOptions, connectionOptionNames, createConnection } from './connection.ts';
import { createPolicyCalls, defaultTimeoutMs, type PolicyCalls } from './policy-calls.ts';
import { callUnary } from './unary.ts';

export type PolicyClientOptions = ConnectionOptions & {
  /** For calls that name no timeout of their own, milliseconds: 5000 unless given. Requests of streams: see `StreamedActCall`. */
  readonly timeoutMs?: number;
};

export type PolicyClient = PolicyCalls & {
  readonly address: string;
  /** Opens a stream of requests to one model: the fastest way for a control loop. */
  actStream(options: ActStreamOptions): ActStream;
  /** Ends the connection; calls in flight fail. */
  close(): void;
};

/**
 * A client of one server. It connects at the first call, and again after a connection was lost.
 *
 * Every method rejects with HyperpolicyError: `invalid_argument` for what it was given, before anything is sent; the kind and text of
 * the server's error; `unavailable` where there is no server, `deadline_exceeded` where it did not answer in time, `cancelled` where the
 * client was closed, `failed_precondition` for a response that does not add up; and with a plain Error for an internal fault.
 * @throws HyperpolicyError invalid_argument naming the option
 */
export function createPolicyClient(options: PolicyClientOptions): PolicyClient {
  const where = 'createPolicyClient';
  checkOptions(where, options, [...connectionOptionNames, 'timeoutMs']);
  const { address, timeoutMs } = options;
  if (timeoutMs !== undefined) checkTime(`${where} timeoutMs`, timeoutMs);
  const connection = createConnection(where, options);
  const { calls, standIns } = createPolicyCalls({
    address,
    timeoutMs: timeoutMs ?? defaultTimeoutMs,
    callUnary: (method, request, called) => callUnary(connection, method, request, called),
  });
  return {
    address,
    ...calls,
    actStream: (given) => openActStream({ connection, standIns, timeoutMs }, given),
    close: connection.close,
  };
}
