/**
 * The way from a message to its answer, the same for every transport: the bound on requests in flight, who calls, decoding, the handler,
 * the request record, counts, and errors as statuses. Transports say how a message is read and an answer written: grpc-unary.ts,
 * grpc-streams.ts, http-unary.ts.
 */

import type { Logger } from 'pino';
import { invalidArgument, resourceExhausted } from '../../src/contract/errors.ts';
import type { StatusName } from '../../src/contract/status.ts';
import { type Access, openAccess } from '../access/access.ts';
import type { Caller } from '../call/caller.ts';
import type { HeaderReader, RequestRecorder } from '../call/request-record.ts';
import { type Call, createCall, type UnaryHandler } from '../call/rpc.ts';
import { type Status, statusOf } from '../call/status.ts';
import type { ServerConfig } from '../config.ts';
import type { GrpcType, MethodMetrics, Metrics } from '../telemetry/metrics.ts';

export type MethodDeps = {
  readonly config: ServerConfig;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Requests being answered over all methods, against `requestCountMax`. */
  readonly gate: RequestGate;
  readonly access: Access;
  /** Undefined where no request is logged or traced. */
  readonly recorder?: RequestRecorder | undefined;
};

/** Counts requests in flight. */
export type RequestGate = { count: number };

/** One method, as its calls pass through. */
export type Invocations = {
  readonly name: string;
  readonly counts: MethodMetrics;
  /** A message is there: counts it and opens its record. */
  arrive(arrival: Arrival): Call;
  /** The same, without the count: no handler will see the message. */
  open(arrival: Arrival): Call;
  /** Who calls. @throws HyperpolicyError where they are not let in */
  admit(headers: HeaderReader): Caller | undefined;
  /** @throws HyperpolicyError invalid_argument where the bytes are not a request of the method */
  decode<Request>(read: (bytes: Buffer) => Request, bytes: Buffer): Request;
  /** Writes a response, and counts how long that took. */
  encode<Response>(write: (response: Response) => Uint8Array, response: Response, call?: Call): Uint8Array;
  /** What a client is told of an error. A fault goes to the log, where its request id finds it. */
  describe(error: unknown, call: Call): Status;
  /** Counts and records how a request ended. */
  end(status: StatusName, call: Call): void;
};

/** Times as in Call. */
export type Arrival = {
  readonly receivedAtMs: number;
  readonly deadlineMs: number;
  readonly headers: HeaderReader;
  /** Where the stream was let in before its messages. */
  readonly caller?: Caller | undefined;
};

/** A method's descriptor, as far as it is needed. */
export type MethodNames = {
  readonly parent: { readonly typeName: string };
  readonly name: string;
  readonly input: { readonly typeName: string };
};

export function createInvocations(
  { parent, name, input }: MethodNames,
  type: GrpcType,
  { metrics, log, access, recorder }: MethodDeps,
): Invocations {
  const counts = metrics.method({ type, service: parent.typeName, method: name });
  const openRecord = recorder?.method(parent.typeName, name);
  const open = ({ receivedAtMs, deadlineMs, headers, caller }: Arrival) =>
    createCall(receivedAtMs, deadlineMs, { caller, record: openRecord?.(receivedAtMs, headers) });
  return {
    name,
    counts,
    open,
    arrive(arrival) {
      counts.received();
      return open(arrival);
    },
    admit: (headers) => (access === openAccess ? undefined : access(name, headers('authorization'))),
    decode(read, bytes) {
      try {
        return read(bytes);
      } catch (cause) {
        throw invalidArgument({
          where: name,
          expected: `a ${input.typeName} message`,
          actual: `${bytes.length} bytes that do not parse as one`,
          cause,
        });
      }
    },
    encode(write, response, call) {
      const startMs = performance.now();
      const bytes = write(response);
      const endMs = performance.now();
      counts.encoded((endMs - startMs) / 1000);
      call?.record?.stage('encode', startMs, endMs);
      return bytes;
    },
    describe: (error, call) => describeStatus(error, name, call, log),
    end(status, call) {
      counts.handled(status, (performance.now() - call.receivedAtMs) / 1000);
      call.record?.end(status, call);
    },
  };
}

/** How a transport reads one message and answers it. `Wire` is what it needs to do so. */
export type Transport<Wire, Request, Response, Encoded> = {
  /** @throws HyperpolicyError */
  read(wire: Wire): Request;
  /** @throws HyperpolicyError */
  write(response: Response, call: Call): Encoded;
  /** Sends the answer; never throws. This or `refuse` is called once. */
  reply(wire: Wire, answer: Encoded, call: Call): void;
  refuse(wire: Wire, status: Status, call: Call): void;
};

/** Takes one message that has arrived to its answer. */
export type Answerer<Wire> = (wire: Wire, call: Call, headers: HeaderReader) => void;

/** Answers single requests of one method. The pipeline itself. */
export function createAnswerer<Wire, Request, Response, Encoded>(
  { name, admit, describe }: Invocations,
  handler: UnaryHandler<Request, Response>,
  { read, write, reply, refuse }: Transport<Wire, Request, Response, Encoded>,
  { gate, config: { requestCountMax } }: Pick<MethodDeps, 'gate' | 'config'>,
): Answerer<Wire> {
  function fail(wire: Wire, error: unknown, call: Call): void {
    const status = describe(error, call);
    gate.count--;
    refuse(wire, status, call);
  }

  function succeed(wire: Wire, response: Response, call: Call): void {
    let answer: Encoded;
    try {
      answer = write(response, call);
    } catch (error) {
      fail(wire, error, call);
      return;
    }
    gate.count--;
    reply(wire, answer, call);
  }

  return (wire, call, headers) => {
    gate.count++;
    let response: Response | Promise<Response>;
    try {
      if (gate.count > requestCountMax) throw tooManyRequests(name, requestCountMax);
      call.caller = admit(headers);
      response = handler(read(wire), call);
    } catch (error) {
      fail(wire, error, call);
      return;
    }
    if (response instanceof Promise) {
      response.then(
        (value) => succeed(wire, value, call),
        (error: unknown) => fail(wire, error, call),
      );
    } else succeed(wire, response, call);
  };
}

/** What a client is told of an error. A fault goes to the log, where its request id finds it. */
export function describeStatus(error: unknown, method: string, call: Call, log: Logger): Status {
  const status = statusOf(error, call.requestId);
  if (status.name === 'INTERNAL') {
    log.error({ err: error, method, requestId: call.requestId(), ...call.record?.fields() }, 'internal fault');
  } else log.debug({ method, status: status.name, reason: status.text }, 'request refused');
  return status;
}

/** Of a message, either way. */
export const tooLarge = (where: string, limit: number, actual: number, remedy?: string) =>
  resourceExhausted({ where, expected: `at most ${limit} bytes`, actual: `${actual}`, remedy });

const tooManyRequests = (method: string, limit: number) =>
  resourceExhausted({
    where: method,
    expected: `at most ${limit} requests in flight`,
    actual: 'one more',
    remedy: 'Retry with backoff',
  });
