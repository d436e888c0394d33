/** gRPC's statuses, and the one table between them and the kinds of error. Servers write by it, clients read by it. */

import type { ErrorKind } from './errors.ts';

/** gRPC's canonical codes that are used here, by number. */
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

export const statusByKind: Readonly<Record<ErrorKind, StatusName>> = {
  invalid_argument: 'INVALID_ARGUMENT',
  not_found: 'NOT_FOUND',
  failed_precondition: 'FAILED_PRECONDITION',
  resource_exhausted: 'RESOURCE_EXHAUSTED',
  deadline_exceeded: 'DEADLINE_EXCEEDED',
  unauthenticated: 'UNAUTHENTICATED',
  permission_denied: 'PERMISSION_DENIED',
  unavailable: 'UNAVAILABLE',
  // A client finds it out by itself, from the answers that come; the status alone means the next.
  superseded: 'CANCELLED',
  cancelled: 'CANCELLED',
};

const kindByStatus: ReadonlyMap<string, ErrorKind> = new Map(
  Object.entries(statusByKind).map(([kind, status]) => [status, kind as ErrorKind]),
);

/** @returns undefined for a status that is no kind of error: OK and faults */
export const kindOfStatus = (status: string): ErrorKind | undefined => kindByStatus.get(status);

const nameByCode: ReadonlyMap<number, string> = new Map(
  Object.entries(statusCodes).map(([name, code]) => [code, name]),
);

/** As `kindOfStatus`, by the code. */
export const kindOfCode = (code: number): ErrorKind | undefined => kindOfStatus(nameByCode.get(code) ?? '');
