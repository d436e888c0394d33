/** From gRPC statuses to the one error hierarchy: a client sees the kinds of error that the server threw. */

import type { ServiceError } from '@grpc/grpc-js';
import { type ErrorKind, failedPrecondition, HyperpolicyError } from '../../src/contract/errors.ts';

/** By status code. The other codes are faults, and become a plain Error. */
const kinds: Readonly<Record<number, ErrorKind>> = {
  3: 'invalid_argument',
  4: 'deadline_exceeded',
  5: 'not_found',
  7: 'permission_denied',
  8: 'resource_exhausted',
  9: 'failed_precondition',
  14: 'unavailable',
  16: 'unauthenticated',
};

const unavailable = 14;
const deadlineExceeded = 4;
const unimplemented = 12;

export type FailedCall = {
  readonly address: string;
  readonly method: string;
  readonly timeoutMs: number;
};

/** The error of a failed call. The server's own text is kept as it is. */
export function toClientError({ code, details }: ServiceError, { address, method, timeoutMs }: FailedCall): Error {
  if (code === unimplemented) {
    return failedPrecondition({
      where: method,
      expected: `a port with this method at ${address}`,
      actual: 'one without it',
      remedy: "Check the address: changes of what is served go to the server's admin port (serve --admin-port)",
    });
  }
  const kind = kinds[code];
  if (kind === undefined) return new Error(`${method}: ${details}`);
  const told = toldByServer(kind, details);
  if (told !== undefined) return told;
  // No text of the server: the transport failed.
  if (code === unavailable) {
    const refused = /ECONNREFUSED/.test(details);
    return new HyperpolicyError({
      kind,
      where: method,
      expected: `a server at ${address}`,
      actual: refused ? 'a refused connection' : details,
      remedy: refused
        ? 'Start one with "hyperpolicy serve", or name another address'
        : 'Check the address, and that client and server both use TLS or neither does',
    });
  }
  if (code === deadlineExceeded) {
    return new HyperpolicyError({
      kind,
      where: method,
      expected: `an answer of ${address} within ${timeoutMs} ms`,
      actual: 'none',
    });
  }
  return new HyperpolicyError({ kind, where: method, expected: 'an answer', actual: details });
}

/** The error of a response that does not parse: another service, or another version of this one. */
export const malformedResponse = (method: string, address: string, cause: unknown): Error =>
  failedPrecondition({
    where: method,
    expected: `a hyperpolicy server at ${address}`,
    actual: `a response that does not parse (${(cause as Error).message})`,
    remedy: 'Check the address, and that client and server are of one release',
    cause,
  });

/** The error of a refused request of a stream, which goes on. @param status name of a gRPC status */
export function toNamedError(status: string, text: string): Error {
  const kind = Object.values(kinds).find((name) => name === status.toLowerCase());
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
