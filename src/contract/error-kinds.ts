/** Written by clients/generate.mjs from src/contract/error-kinds.json; never edited. */

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

/** The kinds of error, and the status that each travels as. */
export const statusByKind = {
  /** An argument, which the text names. */
  invalid_argument: 'INVALID_ARGUMENT',
  /** A model, a version, a label or a handle that is not there. */
  not_found: 'NOT_FOUND',
  /** The model does not do that, or an answer cannot be used. */
  failed_precondition: 'FAILED_PRECONDITION',
  /** A bound, which the text names. */
  resource_exhausted: 'RESOURCE_EXHAUSTED',
  /** No answer in time, or one that is too old. */
  deadline_exceeded: 'DEADLINE_EXCEEDED',
  /** A token is missing or unknown. */
  unauthenticated: 'UNAUTHENTICATED',
  /** The token is not for this. */
  permission_denied: 'PERMISSION_DENIED',
  /** No server, or one that is not ready. */
  unavailable: 'UNAVAILABLE',
  /** A newer request of the same stream took its place. A client finds it out from the answers that come. */
  superseded: 'CANCELLED',
  /** Whoever asked has given it up. What the status alone means. */
  cancelled: 'CANCELLED',
} as const satisfies Readonly<Record<string, StatusName>>;

export type ErrorKind = keyof typeof statusByKind;
