/** What a method is to the rest of the server: a function from a decoded request to a response, without a transport. */

import { randomBytes } from 'node:crypto';
import type { DescMethod, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import { cancelled, deadlineExceeded, type HyperpolicyError, unavailable } from '../../src/contract/errors.ts';
import type { StatusName } from '../../src/contract/status.ts';
import type { Caller } from './caller.ts';
import type { AnsweredBy, RequestRecord } from './request-record.ts';

/** Who work is for. */
export type Demand = {
  /** The client's deadline on the clock of `Date.now()`; Infinity without one. */
  readonly deadlineMs: number;
  /** Whether nobody waits for it any more: the call was cancelled, or its connection is gone. */
  readonly isGone: boolean;
};

/** Of work that is for no request. */
export const standing: Demand = { deadlineMs: Number.POSITIVE_INFINITY, isGone: false };

/** The other end of a call. */
export type Client = { readonly cancelled: boolean };

/** One request in flight. */
export type Call = Demand & {
  /** When the server had the message, on the clock of `performance.now()`. Milliseconds. */
  readonly receivedAtMs: number;
  /** An answered call is not cancelled, whatever becomes of its connection: what it began may go on. */
  isAnswered: boolean;
  /** Whose token it is; undefined without tokens, and until the call is let in. */
  caller?: Caller | undefined;
  /** Undefined where the request is neither logged nor traced. */
  readonly record?: RequestRecord | undefined;
  /** The version that answers, once it is known. */
  answeredBy?: AnsweredBy | undefined;
  /** Says how the request ended, which is counted and recorded. The first time counts. One whose client left its stream may have no end. */
  end(status: StatusName): void;
  /** Made on first use; names the request in logs and in INTERNAL errors. */
  requestId(): string;
};

type CallOptions = Pick<Call, 'caller' | 'record'> & {
  readonly client?: Client | undefined;
  readonly onEnd?: (status: StatusName, call: Call) => void;
};

export function createCall(
  receivedAtMs: number,
  deadlineMs: number,
  { caller, record, client, onEnd }: CallOptions = {},
): Call {
  let id: string | undefined;
  let isEnded = false;
  return {
    receivedAtMs,
    deadlineMs,
    caller,
    record,
    isAnswered: false,
    get isGone() {
      return client?.cancelled === true && !this.isAnswered;
    },
    requestId: () => {
      id ??= randomBytes(8).toString('hex');
      return id;
    },
    end(status) {
      if (isEnded) return;
      isEnded = true;
      onEnd?.(status, this);
    },
  };
}

/** Answers at once where nothing has to be waited for, so that the common case costs no turn of the event loop. */
export type UnaryHandler<Request, Response> = (request: Request, call: Call) => Response | Promise<Response>;

/** A handler for each unary method of a service, by its name in code. */
export type UnaryHandlers<S extends { readonly method: Readonly<Record<string, DescMethod>> }> = {
  readonly [Name in keyof S['method'] as S['method'][Name] extends { methodKind: 'unary' }
    ? Name
    : never]: UnaryHandler<MessageShape<S['method'][Name]['input']>, MessageInitShape<S['method'][Name]['output']>>;
};

/** What a method with streams sees of the other side. */
export type ResponseSink<Response> = {
  /** Does nothing once the stream has ended; so does `end`. */
  send(response: Response): void;
  /** Takes no more requests for now; what has arrived may still come. */
  pause(): void;
  resume(): void;
  /** Ends the stream: well, or with an error. */
  end(error?: unknown): void;
};

/** One open stream of a method. */
export type StreamSession<Request> = {
  receive(request: Request, call: Call): void;
  /** The client sends no more: answer what is pending, then end. */
  finish(): void;
  /** The client is gone: nothing can be sent any more. */
  abandon(): void;
  /** The server drains: answer what is pending, then end with UNAVAILABLE. */
  drain(): void;
};

export type StreamHandler<Request, Response> = (sink: ResponseSink<Response>) => StreamSession<Request>;

/** @param computed what became of the work, as a sentence */
export const deadlinePassed = (where: string, lateMs: number, computed: string): HyperpolicyError =>
  deadlineExceeded({
    where,
    expected: 'a deadline that has not passed',
    actual: `one that passed ${lateMs} ms ago`,
    remedy: computed,
  });

/** Of work for a call that was cancelled. @param computed what became of the work, as a sentence */
export const callCancelled = (where: string, computed: string): HyperpolicyError =>
  cancelled({ where, expected: 'a client that waits', actual: 'none: the call was cancelled', remedy: computed });

/** What a stream ends with when the server drains. */
export const draining = (where: string): HyperpolicyError =>
  unavailable({
    where,
    expected: 'a server that takes requests',
    actual: 'one that drains',
    remedy: 'Open a new stream',
  });
