/** Errors of requests as statuses, and log lines of faults: of runs one in 10 s for each method, version and graph. */

import type { Logger } from 'pino';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import { createNotes, type Note } from '../../src/pacing/notes.ts';
import type { AnsweredBy } from '../call/request-record.ts';
import type { Call } from '../call/rpc.ts';
import { type Status, statusOf } from '../call/status.ts';
import type { Metrics } from './metrics.ts';

/** The status for an error. Faults are logged with the request id. */
export type Describe = (error: unknown, call: Call) => Status;

type FaultDeps = { readonly log: Logger; readonly metrics: Pick<Metrics, 'runFault'> };

/** Of the requests of a method. */
export function createDescribe(method: string, { log, metrics }: FaultDeps): Describe {
  const noteOf = createFaultNotes(log, 'run failed');
  return (error, call) => {
    const status = statusOf(error, () => call.requestId());
    const about = () => aboutFault(method, error, call);
    if (status.name === 'INTERNAL') log.error(about(), 'internal fault');
    else if (error instanceof HyperpolicyError && error.isFault) {
      metrics.runFault(status.name);
      noteOf(call.answeredBy)(reasonOf(error), { status: status.name, ...call.answeredBy, ...about() });
    } else log.debug({ method, status: status.name, reason: status.text }, 'request refused');
    return status;
  };
}

/** Logs faults of work whose answer was due before, so that no status tells of them. */
export function createLateFaults(method: string, log: Logger) {
  const noteOf = createFaultNotes(log, 'run failed after its answer was due');
  return (error: unknown, call: Call): void => {
    if (error instanceof HyperpolicyError && !error.isFault) return;
    const reason = error instanceof HyperpolicyError ? reasonOf(error) : 'internal fault';
    noteOf(call.answeredBy)(reason, { ...call.answeredBy, ...aboutFault(method, error, call) });
  };
}

const aboutFault = (method: string, error: unknown, call: Call) => ({
  err: error,
  method,
  requestId: call.requestId(),
  ...call.record?.fields(),
});

/** Of a run that failed. Both parts are of fixed texts and names of graphs. */
const reasonOf = ({ where, expected }: HyperpolicyError): string => `${where}: expected ${expected}`;

/** Notes of each version: all its requests may fail. */
function createFaultNotes(log: Logger, message: string): (answeredBy: AnsweredBy | undefined) => Note {
  const create = () => createNotes(log, message, 'requestCount', 'error');
  const ofNobody = create();
  const notes = new WeakMap<AnsweredBy, Note>();
  return (answeredBy) => {
    if (answeredBy === undefined) return ofNobody;
    const note = notes.get(answeredBy) ?? create();
    notes.set(answeredBy, note);
    return note;
  };
}
