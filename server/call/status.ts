/** What a client is told of an error. The table of kinds and statuses is the contract's. */

import { HyperpolicyError } from '../../src/contract/errors.ts';
import { type StatusName, statusByKind } from '../../src/contract/status.ts';

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
