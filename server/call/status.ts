/** The status that a client gets for an error. The table of kinds and statuses is src/contract/status.ts. */

import { HyperpolicyError } from '../../src/contract/errors.ts';
import { type StatusName, statusByKind } from '../../src/contract/status.ts';

export type Status = { readonly name: StatusName; readonly text: string };

/**
 * A HyperpolicyError goes out with its own text, since the client can act on it. Anything else goes out as a fixed text.
 * @param requestId under which the log has the cause
 */
export function statusOf(error: unknown, requestId: () => string): Status {
  if (error instanceof HyperpolicyError) return { name: statusByKind[error.kind], text: wellFormed(error.message) };
  return { name: 'INTERNAL', text: `internal fault of the server, request ${requestId()}: its log has the cause` };
}

/** Replaces half characters, which are left if a client's text was cut inside one: gRPC cannot send them in a status. */
const wellFormed = (text: string): string => text.replace(/\p{Surrogate}/gu, '\u{fffd}');
