/** The table from kinds of error to gRPC statuses, and from those to the numbers that the transports send. */

import { type ErrorKind, HyperpolicyError } from '../../src/contract/errors.ts';

/** gRPC's canonical codes, by number. */
export const statusCodes = {
  OK: 0,
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
} as const;

export type StatusName = keyof typeof statusCodes;

const statusByKind: Readonly<Record<ErrorKind, StatusName>> = {
  invalid_argument: 'INVALID_ARGUMENT',
  not_found: 'NOT_FOUND',
  failed_precondition: 'FAILED_PRECONDITION',
  resource_exhausted: 'RESOURCE_EXHAUSTED',
  deadline_exceeded: 'DEADLINE_EXCEEDED',
  unauthenticated: 'UNAUTHENTICATED',
  permission_denied: 'PERMISSION_DENIED',
  unavailable: 'UNAVAILABLE',
};

export type Status = { readonly name: StatusName; readonly text: string };

/**
 * What a client is told of an error: its own text where it is one that the client can act on, else a fixed text.
 * @param requestId under which the log has the cause
 */
export function statusOf(error: unknown, requestId: () => string): Status {
  if (error instanceof HyperpolicyError) return { name: statusByKind[error.kind], text: wellFormed(error.message) };
  return { name: 'INTERNAL', text: `internal fault of the server, request ${requestId()}: its log has the cause` };
}

/** Half a character, which is what is left where a client's text was cut inside one: no status with it can be sent. */
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, '\u{fffd}');
