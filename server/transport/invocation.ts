/**
 * The pipeline from a message to its answer, the same for every transport: bound on requests in flight, access, decoding, handler,
 * request record, counts, and errors as statuses. Transports read messages and write answers: grpc-unary.ts, grpc-streams.ts,
 * http-unary.ts.
 */

import type { Logger } from 'pino';
import { invalidArgument, resourceExhausted } from '../../src/contract/errors.ts';
import type { StatusName } from '../../src/contract/status.ts';
import { type Access, openAccess } from '../access/access.ts';
import type { Caller } from '../call/caller.ts';
import type { HeaderReader, OpenRecord, RequestRecorder } from '../call/request-record.ts';
import { type Call, type Client, createCall, type UnaryHandler } from '../call/rpc.ts';
import type { Status } from '../call/status.ts';
import type { ServerConfig } from '../config.ts';
import { checkDeadline } from '../methods/due-time.ts';
import { createDescribe, createLateFaults, type Describe } from '../telemetry/faults.ts';
import type { GrpcType, MethodMetrics, Metrics } from '../telemetry/metrics.ts';

export type MethodDeps = {
  readonly config: ServerConfig;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Shared by the methods that may fill it together. */
  readonly gate: RequestGate;
  readonly access: Access;
  readonly recorder?: RequestRecorder;
};

/** Counts requests in flight, and bounds them. */
export type RequestGate = { count: number; readonly countMax: number };

export const createGate = (countMax: number): RequestGate => ({ count: 0, countMax });

/**
 * Most requests at once of health checks, and of admins: each has a gate of its own, so that a server that is busy with `requestCountMax`
 * others is not taken for dead, and can be administered.
 */
export const ownGateCountMax = 64;

/** A message that has arrived. Times as in Call. */
export type Arrival = {
  readonly receivedAtMs: number;
  readonly deadlineMs: number;
  readonly headers: HeaderReader;
  /** Only for messages of a stream, whose caller is known already. */
  readonly caller?: Caller | undefined;
  /** Undefined where nobody is asked whether it waits: the call is refused. */
  readonly client?: Client;
};

/** The used part of a method's descriptor. */
export type MethodNames = {
  readonly parent: { readonly typeName: string };
  readonly name: string;
  readonly input: { readonly typeName: string };
};

/** Reads one message and answers it. `Wire` is the transport's own data of a message. */
export type Transport<Wire, Request, Response, Encoded> = {
  /** @throws HyperpolicyError */
  read(wire: Wire): Request;
  /** @throws HyperpolicyError */
  write(response: Response, call: Call): Encoded;
  /** Sends the answer; never throws. This or `refuse` is called once. */
  reply(wire: Wire, answer: Encoded, call: Call): void;
  refuse(wire: Wire, status: Status, call: Call): void;
};

/** The pipeline of one method. */
export class Invocations {
  readonly name: string;
  readonly counts: MethodMetrics;
  readonly describe: Describe;
  readonly #inputName: string;
  readonly #onLateError: (error: unknown, call: Call) => void;
  readonly #deps: MethodDeps;
  readonly #openRecord: OpenRecord | undefined;

  constructor({ parent: { typeName }, name, input }: MethodNames, type: GrpcType, deps: MethodDeps) {
    this.name = name;
    this.counts = deps.metrics.method({ type, service: typeName, method: name });
    this.describe = createDescribe(name, deps);
    this.#inputName = input.typeName;
    this.#onLateError = createLateFaults(name, deps.log);
    this.#deps = deps;
    this.#openRecord = deps.recorder?.(typeName, name);
  }

  /** Counts a message and opens its record. */
  arrive(arrival: Arrival): Call {
    this.counts.received();
    return this.open(arrival);
  }

  /** The same without the count, for a message that no handler will see. */
  open({ receivedAtMs, deadlineMs, headers, caller, client }: Arrival): Call {
    const record = this.#openRecord?.(receivedAtMs, headers);
    const onEnd = this.#onEnd;
    const onLateError = this.#onLateError;
    return createCall(receivedAtMs, deadlineMs, { caller, client, record, onEnd, onLateError });
  }

  /** @returns the caller. @throws HyperpolicyError without access */
  identify(headers: HeaderReader): Caller | undefined {
    const { access } = this.#deps;
    return access === openAccess ? undefined : access.admit(this.name, headers('authorization'));
  }

  /** The caller of a call that lasts, without another count. @throws HyperpolicyError without access */
  know(headers: HeaderReader): Caller | undefined {
    return this.#deps.access.know(this.name, headers('authorization'));
  }

  /** Calls back when callers may have changed. @returns ends that */
  onAccessChange(listener: () => void): () => void {
    return this.#deps.access.onChange(listener);
  }

  /** As identify, for a single request; refuses it first, without a charge on its token's rate, if `enter` would. */
  admit(headers: HeaderReader): Caller | undefined {
    this.#requireRoom();
    return this.identify(headers);
  }

  /**
   * Takes a place among the requests in flight: before a message is decoded. The pipeline of `answerer` gives it back; where a message does
   * not come so far, `leave` does.
   * @throws HyperpolicyError resource_exhausted if there are too many
   */
  enter(): void {
    this.#requireRoom();
    this.#deps.gate.count++;
  }

  leave(): void {
    this.#deps.gate.count--;
  }

  #requireRoom(): void {
    const { count, countMax } = this.#deps.gate;
    if (count >= countMax) throw tooManyRequests(this.name, countMax);
  }

  /** @throws HyperpolicyError invalid_argument if the bytes are not a request of the method */
  decode<Request>(read: (bytes: Buffer) => Request, bytes: Buffer): Request {
    try {
      return read(bytes);
    } catch (cause) {
      throw invalidArgument({
        where: this.name,
        expected: `a ${this.#inputName} message`,
        actual: `${bytes.length} bytes that do not parse as one`,
        cause,
      });
    }
  }

  /** Encodes a response, and measures the time. */
  encode<Response>(write: (response: Response) => Uint8Array, response: Response, call?: Call): Uint8Array {
    const startMs = performance.now();
    const bytes = write(response);
    const endMs = performance.now();
    this.counts.encoded((endMs - startMs) / 1000);
    call?.record?.stage('encode', startMs, endMs);
    return bytes;
  }

  /** Counts how a call ended. A stream's messages have ends of their own. */
  end(status: StatusName, call: Call): void {
    this.counts.handled(status, secondsOf(call));
    call.end(status);
  }

  readonly #onEnd = (status: StatusName, call: Call): void => {
    this.counts.answered(status, secondsOf(call), call.answeredBy);
    call.record?.end(status, call);
  };

  /** @returns the pipeline of a single request that has entered: from its message to its answer */
  answerer<Wire, Request, Response, Encoded>(
    handler: UnaryHandler<Request, Response>,
    { read, write, reply, refuse }: Transport<Wire, Request, Response, Encoded>,
  ): (wire: Wire, call: Call) => void {
    const fail = (wire: Wire, error: unknown, call: Call): void => {
      const status = this.describe(error, call);
      this.leave();
      call.isAnswered = true;
      refuse(wire, status, call);
    };
    const succeed = (wire: Wire, response: Response, call: Call): void => {
      let answer: Encoded;
      try {
        if (call.isGone) checkDeadline(this.name, call, 'The answer is not sent');
        answer = write(response, call);
      } catch (error) {
        fail(wire, error, call);
        return;
      }
      this.leave();
      call.isAnswered = true;
      reply(wire, answer, call);
    };
    return (wire, call) => {
      let response: Response | Promise<Response>;
      try {
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
}

const secondsOf = ({ receivedAtMs }: Call): number => (performance.now() - receivedAtMs) / 1000;

const tooManyRequests = (method: string, limit: number) =>
  resourceExhausted({
    where: method,
    expected: `at most ${limit} requests in flight`,
    actual: 'one more',
    remedy: 'Retry with backoff',
  });
