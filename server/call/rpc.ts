/** Methods without a transport: functions from a decoded request to a response. */

import { randomBytes } from 'node:crypto';
import type { DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { cancelled, deadlineExceeded, type HyperpolicyError, unavailable } from '../../src/contract/errors.ts';
import type { StatusName } from '../../src/contract/status.ts';
import type { Caller } from './caller.ts';
import type { AnsweredBy, RequestRecord } from './request-record.ts';

/** Until when work is wanted. */
export type Demand = {
  /** The client's deadline on the clock of `Date.now()`; Infinity without one. */
  readonly deadlineMs: number;
  /** Nobody waits any more: the call was cancelled, or its connection is gone. */
  readonly isGone: boolean;
};

/** Demand of work that belongs to no request: it is never dropped. */
export const standing: Demand = { deadlineMs: Number.POSITIVE_INFINITY, isGone: false };

export type Client = { readonly cancelled: boolean };

/** One request in flight. */
export type Call = Demand & {
  /** When the message had arrived, milliseconds on the clock of `performance.now()`. */
  readonly receivedAtMs: number;
  /** An answered call does not count as cancelled when its connection ends: work that it began may go on. */
  isAnswered: boolean;
  /** Undefined without tokens, and until access is granted. */
  caller?: Caller | undefined;
  /** Undefined if the request is neither logged nor traced. */
  readonly record?: RequestRecord | undefined;
  /** The version that answers, once it is known. */
  answeredBy?: AnsweredBy | undefined;
  /** Counts and records how the request ended. Only the first call counts. A request may never end if its client has left the stream. */
  end(status: StatusName): void;
  /** Logs an error of its work if it is a fault: the client had another answer by then, as this one was due. */
  failLate(error: unknown): void;
  /** Names the request in logs and in INTERNAL errors; made on first use. */
  requestId(): string;
};

type CallOptions = Pick<Call, 'caller' | 'record'> & {
  readonly client?: Client | undefined;
  readonly onEnd?: (status: StatusName, call: Call) => void;
  readonly onLateError?: (error: unknown, call: Call) => void;
};

export const createCall = (receivedAtMs: number, deadlineMs: number, options: CallOptions = {}): Call =>
  new OpenCall(receivedAtMs, deadlineMs, options);

/** A class: to create an object literal with a getter takes 1.7 us, this 0.09 (test/bench/NOTES.md). */
class OpenCall implements Call {
  readonly receivedAtMs: number;
  readonly deadlineMs: number;
  caller: Caller | undefined;
  readonly record: RequestRecord | undefined;
  isAnswered = false;
  answeredBy: AnsweredBy | undefined = undefined;
  readonly #client: Client | undefined;
  readonly #onEnd: CallOptions['onEnd'];
  readonly #onLateError: CallOptions['onLateError'];
  #id: string | undefined;
  #isEnded = false;

  constructor(receivedAtMs: number, deadlineMs: number, { caller, record, client, onEnd, onLateError }: CallOptions) {
    this.receivedAtMs = receivedAtMs;
    this.deadlineMs = deadlineMs;
    this.caller = caller;
    this.record = record;
    this.#client = client;
    this.#onEnd = onEnd;
    this.#onLateError = onLateError;
  }

  get isGone(): boolean {
    return this.#client?.cancelled === true && !this.isAnswered;
  }

  requestId(): string {
    this.#id ??= randomBytes(8).toString('hex');
    return this.#id;
  }

  end(status: StatusName): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#onEnd?.(status, this);
  }

  failLate(error: unknown): void {
    this.#onLateError?.(error, this);
  }
}

/** Returns the response itself, not a promise, when nothing has to be waited for: that saves a turn of the event loop. */
export type UnaryHandler<Request, Response> = (request: Request, call: Call) => Response | Promise<Response>;

/** A handler for each unary method of a service, by its name in code. */
export type UnaryHandlers<S extends { readonly method: Readonly<Record<string, DescMethod>> }> = {
  readonly [Name in keyof S['method'] as S['method'][Name] extends { methodKind: 'unary' }
    ? Name
    : never]: UnaryHandler<MessageShape<S['method'][Name]['input']>, MessageInitShape<S['method'][Name]['output']>>;
};

/** The client's side of a stream, as a method sees it. */
export type ResponseSink<Response> = {
  /** Does nothing once the stream has ended; so does `end`. */
  send(response: Response): void;
  /** Stops reading requests; those that have arrived may still be delivered. */
  pause(): void;
  resume(): void;
  /** Ends the stream, with status OK if there is no error. */
  end(error?: unknown): void;
};

/** One open stream of a method. */
export type StreamSession<Request> = {
  /** Requests whose answer is not sent. */
  readonly pendingCount: number;
  receive(request: Request, call: Call): void;
  /** The client sends no more: answer pending requests, then end. */
  finish(): void;
  /** The client is gone: nothing can be sent. */
  abandon(): void;
  /** The server drains: answer pending requests, then end with UNAVAILABLE. */
  drain(): void;
};

export type StreamHandler<Request, Response> = (sink: ResponseSink<Response>) => StreamSession<Request>;

/** @param computed says what happened to the work, as a sentence */
export const deadlinePassed = (where: string, lateMs: number, computed: string): HyperpolicyError =>
  deadlineExceeded({
    where,
    expected: 'a deadline that has not passed',
    actual: `one that passed ${lateMs} ms ago`,
    remedy: computed,
  });

/** @param computed as deadlinePassed */
export const callCancelled = (where: string, computed: string): HyperpolicyError =>
  cancelled({ where, expected: 'a client that waits', actual: 'none: the call was cancelled', remedy: computed });

/** The error of a stream that ends because the server drains. */
export const draining = (where: string): HyperpolicyError =>
  unavailable({
    where,
    expected: 'a server that takes requests',
    actual: 'one that drains',
    remedy: 'Open a new stream',
  });
