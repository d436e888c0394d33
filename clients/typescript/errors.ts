/** From gRPC statuses to the one error hierarchy: a client sees the kinds of error that the server threw. */

import {
  cancelled,
  deadlineExceeded,
  type ErrorKind,
  failedPrecondition,
  HyperpolicyError,
  resourceExhausted,
  unavailable,
} from '../../src/contract/errors.ts';
import { kindOfCode, kindOfStatus, statusCodes } from '../../src/contract/status.ts';

export type FailedCall = {
  readonly address: string;
  readonly method: string;
  readonly timeoutMs: number;
};

/** What a call ended with. */
export type FailedStatus = { readonly code: number; readonly details: string };

/** The error of a failed call. The server's own text is kept as it is. */
export function toClientError({ code, details }: FailedStatus, { address, method, timeoutMs }: FailedCall): Error {
  if (code === statusCodes.UNIMPLEMENTED) {
    return failedPrecondition({
      where: method,
      expected: `a port with this method at ${address}`,
      actual: 'one without it',
      remedy:
        "Check the address: the policy's methods are at the server's --port, changes of what is served at its --admin-port",
    });
  }
  if (lostCall.test(details)) return lostError(method, address, details);
  const kind = kindOfCode(code);
  if (kind === undefined) return new Error(`${method}: ${details}`);
  const told = toldByServer(kind, details);
  if (told !== undefined) return told;
  // No text of the server: the transport failed.
  if (code === statusCodes.UNAVAILABLE) {
    return new HyperpolicyError({ kind, where: method, expected: `a server at ${address}`, ...unreachable(details) });
  }
  if (code === statusCodes.DEADLINE_EXCEEDED) {
    return lateError(method, address, timeoutMs);
  }
  return new HyperpolicyError({ kind, where: method, expected: 'an answer', actual: details });
}

/** Why there is no connection, and what to do. */
function unreachable(details: string): { readonly actual: string; readonly remedy: string } {
  if (/ECONNREFUSED/.test(details)) {
    return {
      actual: 'a refused connection',
      remedy: 'Start one with "hyperpolicy serve", or name another address',
    };
  }
  const remedy = 'Check the address, and that client and server both use TLS or neither does';
  // An HTTP port, such as that of the metrics, or TLS on one side only.
  if (/Protocol error/.test(details)) {
    return {
      actual: 'an answer that is not gRPC',
      remedy: `gRPC is at the server's --port, not at those of HTTP. ${remedy}`,
    };
  }
  const silence = silenceIn(details);
  if (silence === undefined) return { actual: details, remedy };
  return { actual: silence, remedy: `${remedy}; or the server is frozen` };
}

/** The words of liveness.ts in the library's. */
const silenceIn = (details: string): string | undefined => /no sign of life for \d+ ms/.exec(details)?.[0];

/**
 * The library's words for a call whose connection broke, which it gives codes of several kinds, as faults have. A call that this client
 * cancels has its error before; one that is "cancelled" besides was cut with its connection.
 */
const lostCall = /^Received RST_STREAM with code \d|^Call cancelled$/;

/** The error of a call whose connection broke. */
export const lostError = (method: string, address: string, details: string): HyperpolicyError =>
  unavailable({
    where: method,
    expected: `a connection to ${address} that holds`,
    actual: silenceIn(details) ?? details,
    remedy: 'Retry with backoff',
  });

/** The error of a call without an answer in time. */
export const lateError = (where: string, address: string, timeoutMs: number): HyperpolicyError =>
  deadlineExceeded({ where, expected: `an answer of ${address} within ${timeoutMs} ms`, actual: 'none' });

/** The error of a request over the client's limit of bytes. */
export const tooLargeError = (where: string, bytesMax: number, actual: number): HyperpolicyError =>
  resourceExhausted({
    where,
    expected: `at most ${bytesMax} bytes`,
    actual: `${actual}`,
    remedy: 'Send fewer rows, or raise messageBytesMax on both sides',
  });

/** The error of an answer over the client's limit of bytes. @param actual as a noun phrase */
export const tooLargeResponseError = (
  { method, address }: Pick<FailedCall, 'method' | 'address'>,
  bytesMax: number,
  actual: string,
): HyperpolicyError =>
  resourceExhausted({
    where: method,
    expected: `a response of at most ${bytesMax} bytes from ${address}`,
    actual,
    remedy: 'Raise messageBytesMax of the client',
  });

/** The error of an answer that is too old to act on. */
export const oldError = (where: string, ageMsMax: number, ageMs: number): HyperpolicyError =>
  deadlineExceeded({ where, expected: `an action of at most ${ageMsMax} ms`, actual: `one of ${Math.ceil(ageMs)} ms` });

/** The error of a request to a stream that was closed. */
export const streamOverError = (): HyperpolicyError =>
  failedPrecondition({
    where: 'ActStream: the stream has ended',
    expected: 'an open one',
    actual: 'one that was closed',
    remedy: 'Open another',
  });

/** The error of a call over a client that was closed, before or meanwhile. */
export const closedError = (where: string): HyperpolicyError =>
  cancelled({ where, expected: 'an open client', actual: 'one that was closed', remedy: 'Create another' });

/** The error of a refused request of a stream, which goes on. @param status name of a gRPC status */
export function toNamedError(status: string, text: string): Error {
  const kind = kindOfStatus(status);
  return (kind && toldByServer(kind, text)) ?? new Error(text);
}

/** An error whose text the server wrote; undefined where it did not. */
function toldByServer(kind: ErrorKind, text: string): HyperpolicyError | undefined {
  const parts = /^(.*?): expected (.*?), got (.*?)(?:\. ([A-Z].*))?$/s.exec(text);
  if (parts === null) return undefined;
  const [, where, expected, actual, remedy] = parts as unknown as [string, string, string, string, string?];
  const error = new HyperpolicyError({ kind, where, expected, actual, remedy });
  error.message = text;
  return error;
}
