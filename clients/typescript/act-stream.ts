/**
 * The client's side of ActStream: an answer per request, in order. Every request settles, even if the server is lost: with its answer, a
 * fallback, or an error. A stream uses one gRPC call at a time; if that is lost and the stream may resume, another.
 */

import { encodeActStreamRequest } from '../../src/contract/act-request.ts';
import { resourceExhausted, superseded, unavailable } from '../../src/contract/errors.ts';
import type { ActResponse, StreamError } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type ActResult, actInputs, actResult } from './act.ts';
import {
  type ActStreamEvent,
  type ActStreamOptions,
  checkStreamedAct,
  checkStreamOptions,
  type StreamedAct,
  type StreamedActCall,
  type Times,
  timesOf,
} from './act-stream-options.ts';
import type { Connection } from './connection.ts';
import { createDueTimer } from './due-timer.ts';
import { closedError, lateError, oldError, streamOverError, toNamedError, tooLargeError } from './errors.ts';
import { columnCountOf, commonFields, type ModelSelection, routingKeyOf, rowCountOf } from './request.ts';
import { type InPlaceOf, reasonOf, type StandIns } from './stand-ins.ts';
import { openStreamCall, type StreamCall } from './stream-call.ts';

export type ActStream = {
  /**
   * Never throws at once: what is wrong is in the promise, and the stream goes on.
   * @throws HyperpolicyError as `act` of the client; `superseded` where a newer request took its place; when the stream ends, everything
   * that is pending fails
   */
  act(request: StreamedAct, call?: StreamedActCall): Promise<ActResult>;
  /** Sends no more; what is pending still settles. Resolves when all has. */
  close(): Promise<void>;
  /** No more requests are taken: `close` was called, the client was closed, or the stream's signal aborted. */
  readonly closed: boolean;
  /** No more requests are answered by a server: the stream was closed, or was lost without `resume`. */
  readonly ended: boolean;
  /** Why it ended; undefined where it did not, or was closed. */
  readonly error: Error | undefined;
  /** The version that it began with; undefined before the first answer, and where it follows. */
  readonly version: number | undefined;
};

export type ActStreamDeps = {
  readonly connection: Connection;
  readonly standIns: StandIns;
  /** What the client was made with; undefined where it was not told. */
  readonly timeoutMs: number | undefined;
};

/** Requests that wait for the server, those that have settled without it included. */
const pendingCountMax = 1024;
/** A call that is silent for so long, though something is pending, is given up where another may follow, or where no pings tell of its loss. */
const silenceMsMax = 1000;
/** For answers of such a call that a process has not read, or not asked for, since it stood still. */
const graceMs = 500;
/** Between the last answer and the server's end of a stream that was closed. */
const farewellMs = 1000;

/** A request until its answer comes; it may have settled before. */
type Pending = {
  readonly of: InPlaceOf;
  readonly sentAtMs: number;
  readonly times: Times;
  /** Undefined once it has settled. */
  settle: { resolve(result: ActResult): void; reject(error: unknown): void } | undefined;
  /** Lets go of the signal. */
  release: (() => void) | undefined;
};

/** When a request's time is over. */
const dueAtMs = ({ sentAtMs, times }: Pending): number => sentAtMs + times.waitMs;

type OpenCall = { readonly stream: StreamCall; heardAtMs: number | undefined };

/** @throws HyperpolicyError invalid_argument naming the option */
export function openActStream(deps: ActStreamDeps, options: ActStreamOptions): ActStream {
  checkStreamOptions('ActStream', options);
  return new Stream(deps, options).facade();
}

class Stream {
  readonly #deps: ActStreamDeps;
  readonly #options: ActStreamOptions;
  #call: OpenCall | undefined;
  #pending: Pending[] = [];
  /** Of those, how many have not settled. */
  #unsettledCount = 0;
  readonly #timer = createDueTimer(() => this.#wake());
  #sequence = 0n;
  /** Whether a server has taken it on, and with which version. */
  #begun = false;
  #version: number | undefined;
  #lostAtMs: number | undefined;
  #closed = false;
  #ended = false;
  #error: Error | undefined;
  #farewell: NodeJS.Timeout | undefined;
  readonly #over: Promise<void>;
  #tellOver = () => {};
  readonly #forget: () => void;

  constructor(deps: ActStreamDeps, options: ActStreamOptions) {
    this.#deps = deps;
    this.#options = options;
    this.#over = new Promise((resolve) => {
      this.#tellOver = resolve;
    });
    const { signal } = options;
    const abort = () => this.#cut(signal!.reason);
    const forget = deps.connection.onClose(() => this.#cut(closedError('ActStream')));
    this.#forget = () => {
      forget();
      signal?.removeEventListener('abort', abort);
    };
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
    // The connection is under way before the first request.
    if (!deps.connection.closed) deps.connection.channel.reconnect();
  }

  facade(): ActStream {
    const stream = this;
    return {
      act: (request, call = {}) => promised(() => stream.#act(request, call)),
      close: () => stream.#close(),
      get closed() {
        return stream.#closed;
      },
      get ended() {
        return stream.#ended;
      },
      get error() {
        return stream.#error;
      },
      get version() {
        return stream.#version;
      },
    };
  }

  #act(request: StreamedAct, call: StreamedActCall): Promise<ActResult> {
    const { connection, standIns, timeoutMs } = this.#deps;
    if (connection.closed) throw closedError('ActStream');
    if (this.#closed) throw this.#error ?? streamOverError();
    checkStreamedAct('Act', this.#options, request, call);
    const times = timesOf(this.#options, request, call, timeoutMs);
    const fields = actInputs('Act', request, times.budgetUs);
    call.signal?.throwIfAborted();
    if (this.#pending.length >= pendingCountMax) throw tooManyPending();
    const { clientId = '', follow = false, newestWins = false, fingerprint } = this.#options;
    const sequence = this.#sequence + 1n;
    const of: InPlaceOf = {
      selection: this.#selection(),
      // Of the first request alone: versions that follow are not checked.
      fingerprint: follow ? undefined : fingerprint,
      contextHandle: request.contextHandle,
      clientId,
      rows: rowCountOf(fields.observation),
      columns: columnCountOf(fields.observation),
      sequence,
      fallback: request.fallback,
      ageMsMax: times.ageMsMax,
    };
    if (request.fallback !== undefined && request.fallback !== 'error') standIns.learn(of.selection);
    if (this.#ended) return promised(() => this.#otherwise(of, this.#error!));
    if (this.#call === undefined) Object.assign(fields, commonFields('Act', { ...of.selection, ...this.#identity() }));
    fields.clientId = clientId;
    fields.sequence = sequence;
    const bytes = encodeActStreamRequest({ act: fields, follow, newestWins });
    const { messageBytesMax } = connection;
    if (bytes.length > messageBytesMax) throw tooLargeError('ActStream request', messageBytesMax, bytes.length);
    this.#call ??= this.#open(request);
    this.#sequence = sequence;
    return new Promise((resolve, reject) => {
      this.#pending.push(this.#await(of, times, { resolve, reject }, call.signal));
      this.#call!.stream.send(bytes, sequence);
    });
  }

  /** Which version is asked for: once one has answered, it stays. */
  #selection(): ModelSelection {
    const { model, version, label } = this.#options;
    if (this.#version !== undefined) return { model, version: this.#version };
    return { model, ...(version !== undefined && { version }), ...(label !== undefined && { label }) };
  }

  #identity() {
    const { fingerprint, clientId } = this.#options;
    return { ...(fingerprint !== undefined && { fingerprint }), ...(clientId !== undefined && { clientId }) };
  }

  #open(request: StreamedAct): OpenCall {
    const { metadata } = this.#options;
    const routingKey = routingKeyOf({ ...request, ...this.#identity() });
    const call: OpenCall = {
      heardAtMs: undefined,
      stream: openStreamCall(
        this.#deps.connection,
        { metadata, routingKey },
        {
          message: (result) => this.#receive(call, result),
          ended: (error) => this.#lose(error ?? ended()),
        },
      ),
    };
    return call;
  }

  #await(of: InPlaceOf, times: Times, settle: NonNullable<Pending['settle']>, signal?: AbortSignal): Pending {
    const pending: Pending = { of, times, sentAtMs: performance.now(), settle, release: undefined };
    if (signal !== undefined) {
      const abort = () => this.#reject(pending, signal.reason);
      signal.addEventListener('abort', abort, { once: true });
      pending.release = () => signal.removeEventListener('abort', abort);
    }
    this.#unsettledCount++;
    this.#timer.set(dueAtMs(pending));
    return pending;
  }

  /** Requests whose time is over settle. */
  #wake(): void {
    const nowMs = performance.now();
    for (const pending of [...this.#pending]) {
      if (pending.settle !== undefined && dueAtMs(pending) <= nowMs) this.#expire(pending);
    }
    const waiting = this.#pending.filter(({ settle }) => settle !== undefined);
    if (waiting.length > 0) this.#timer.set(Math.min(...waiting.map(dueAtMs)));
  }

  #receive(call: OpenCall, result: ActResponse | StreamError): void {
    call.heardAtMs = performance.now();
    const own = this.#takeUpTo(result.sequence);
    if (own === undefined) return;
    if (result.$typeName === 'hyperpolicy.v1.StreamError') {
      this.#goOn();
      this.#reject(own, toNamedError(result.status, result.text));
      return;
    }
    if (this.#options.follow !== true) this.#version ??= result.version || undefined;
    this.#goOn(result.version);
    this.#deliver(own, result);
  }

  /** The request of an answer; undefined where it is unknown. Those before it were superseded: the server answers in order. */
  #takeUpTo(sequence: bigint): Pending | undefined {
    if (this.#pending[0]?.of.sequence === sequence) return this.#pending.shift();
    const answered = this.#pending.findIndex(({ of }) => of.sequence === sequence);
    const passed = this.#pending.splice(0, answered + 1);
    const own = passed.pop();
    for (const pending of passed) this.#reject(pending, supersededError());
    return own;
  }

  /** The server has it in hand, for the first time or again. */
  #goOn(version = 0): void {
    this.#begun = true;
    if (this.#lostAtMs === undefined) return;
    this.#tell({ kind: 'resumed', version, lostMs: performance.now() - this.#lostAtMs });
    this.#lostAtMs = undefined;
  }

  #deliver(own: Pending, response: ActResponse): void {
    if (own.settle === undefined) return;
    const { address } = this.#deps.connection;
    let result: ActResult;
    try {
      result = actResult({ method: 'ActStream', address }, response, own.of.rows);
    } catch (error) {
      this.#reject(own, error);
      return;
    }
    const { waitMs, ageMsMax } = own.times;
    const tookMs = performance.now() - own.sentAtMs;
    this.#deps.standIns.keep(own.of, result, tookMs);
    const ageMs = Math.max(tookMs, result.fallback?.ageMs ?? 0);
    // A process that stood still has the answer before its timers.
    if (tookMs > waitMs) this.#replace(own, lateError('ActStream', address, waitMs), 'timeout');
    else if (ageMs > ageMsMax) this.#replace(own, oldError('ActStream', ageMsMax, ageMs), 'age');
    else this.#take(own)?.resolve(result);
  }

  /** A request that was not answered in time. */
  #expire(own: Pending): void {
    const { address } = this.#deps.connection;
    const error = lateError('ActStream', address, own.times.waitMs);
    this.#replace(own, error, 'timeout');
    const call = this.#call;
    if (call === undefined) return;
    const isIdle = this.#pending.every(({ settle }) => settle === undefined);
    // Nothing came of it yet, and nobody waits for it: what was sent is not to be answered later. The next request opens another.
    if (call.heardAtMs === undefined && isIdle) this.#abandon(call);
    if (this.#options.resume === true) this.#giveUpSilent(call, own);
    // No other call follows, so not at once: a process that stood still has its timers before its answers.
    else if (call.stream.isLeaving) setTimeout(() => this.#giveUpSilent(call, own), graceMs).unref();
  }

  /** @param own a request whose time is over */
  #giveUpSilent(call: OpenCall, own: Pending): void {
    if (this.#call !== call || call.heardAtMs === undefined) return;
    const silentMs = performance.now() - Math.max(call.heardAtMs, this.#pending[0]?.sentAtMs ?? 0);
    // Its own wait counts whole: a timer may fire a little early by the clock that is read here.
    const waitedMs = call.heardAtMs < own.sentAtMs ? own.times.waitMs : 0;
    if (Math.max(silentMs, waitedMs) < silenceMsMax) return;
    const { address } = this.#deps.connection;
    call.stream.cancel();
    this.#lose(unavailable({ where: 'ActStream', expected: `an answer of ${address}`, actual: 'silence' }));
  }

  #abandon(call: OpenCall): void {
    call.stream.cancel();
    this.#call = undefined;
    this.#pending = [];
  }

  /** The call is over, and what was sent over it with it. */
  #lose(error: Error): void {
    this.#call = undefined;
    for (const pending of this.#pending.splice(0)) this.#replace(pending, error);
    if (this.#closed) this.#end(undefined);
    // A stream that no server has taken on is where it was: a first request that is refused costs only itself.
    else if (this.#begun && this.#options.resume !== true) this.#end(error);
    else if (this.#begun) {
      this.#deps.connection.channel.reconnect();
      if (this.#lostAtMs !== undefined) return;
      this.#lostAtMs = performance.now();
      this.#tell({ kind: 'lost', error });
    }
  }

  /** @param error undefined where it was closed */
  #end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error ??= error;
    clearTimeout(this.#farewell);
    this.#timer.stop();
    this.#forget();
    this.#tell({ kind: 'ended', error });
    this.#tellOver();
  }

  #close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      if (this.#call === undefined) this.#end(undefined);
      else this.#call.stream.finish();
      this.#bidFarewell();
    }
    return this.#over;
  }

  /** A server that does not end what was closed is not waited for. */
  #bidFarewell(): void {
    if (!this.#closed || this.#ended || this.#pending.some(({ settle }) => settle !== undefined)) return;
    this.#farewell ??= setTimeout(() => {
      this.#call?.stream.cancel();
      this.#lose(ended());
    }, farewellMs);
  }

  /** Ends at once, from this side. */
  #cut(reason: unknown): void {
    this.#closed = true;
    if (this.#ended) return;
    this.#error = reason instanceof Error ? reason : new Error(String(reason));
    this.#call?.stream.cancel();
    this.#call = undefined;
    for (const pending of this.#pending.splice(0)) this.#reject(pending, reason);
    this.#end(this.#error);
  }

  /** What a request gets in place of an answer. @throws `error` where there is nothing */
  #otherwise(of: InPlaceOf, error: Error, reason = reasonOf(error)): ActResult {
    const result = reason && this.#deps.standIns.standIn(of, reason);
    if (result === undefined) throw error;
    return result;
  }

  #replace(own: Pending, error: Error, reason = reasonOf(error)): void {
    const settle = this.#take(own);
    if (settle === undefined) return;
    try {
      settle.resolve(this.#otherwise(own.of, error, reason));
    } catch (refused) {
      settle.reject(refused);
    }
  }

  #reject(own: Pending, error: unknown): void {
    this.#take(own)?.reject(error);
  }

  /** A request settles once. */
  #take(own: Pending): Pending['settle'] {
    const { settle } = own;
    if (settle === undefined) return undefined;
    own.settle = undefined;
    own.release?.();
    this.#unsettledCount--;
    if (this.#unsettledCount === 0) this.#timer.rest();
    if (this.#closed) this.#bidFarewell();
    return settle;
  }

  /** Not at once: what a listener throws is its own, and not the stream's. */
  #tell(event: ActStreamEvent): void {
    const { onEvent } = this.#options;
    if (onEvent !== undefined) queueMicrotask(() => onEvent(event));
  }
}

/** What it throws is in the promise. Not an async function: of the promise that it got it would make another, settled three turns later. */
function promised<Result>(result: () => Result | Promise<Result>): Promise<Result> {
  try {
    return Promise.resolve(result());
  } catch (error) {
    return Promise.reject(error);
  }
}

const ended = () =>
  unavailable({ where: 'ActStream', expected: 'a stream that goes on', actual: 'its end', remedy: 'Open another' });

const supersededError = () =>
  superseded({ where: 'ActStream', expected: 'the newest request', actual: 'one that a newer superseded' });

const tooManyPending = () =>
  resourceExhausted({
    where: 'ActStream',
    expected: `at most ${pendingCountMax} requests that the server has not answered`,
    actual: 'one more',
    remedy: 'Wait for answers, or open the stream with newestWins',
  });
