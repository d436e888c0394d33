/**
 * Bounds what has arrived of messages that are not whole, which no other bound sees: its time and its bytes. A call costs a field of its
 * stream; all else is done four times a second, for calls whose message is arriving just then.
 */

import type { Http2Stream, ServerHttp2Session } from 'node:http2';
import type { Logger } from 'pino';
import { deadlineExceeded, resourceExhausted } from '../../src/contract/errors.ts';
import { createNotes, type Note } from '../../src/pacing/notes.ts';

const mebibyte = 1024 * 1024;
const lookMs = 250;
const looksOf = (ms: number): number => ms / lookMs;
/** Longest time without any byte of a message that has begun. */
const silentMsMax = 10_000;
/** Longest time from the beginning of a message to its end: 4 MiB come in it at 70 kB/s. Larger messages, where they are allowed, have more. */
const wholeMsMax = 60_000;
const wholeBytes = 4 * mebibyte;
/** Of one connection and of all; where one message may be larger than a part of that, more. */
const connectionBytesMax = 64 * mebibyte;
const allBytesMax = 4 * connectionBytesMax;
const messageShareMax = 1 / 4;

/** The message of a call that is arriving. */
export type Held = {
  /** Messages of the call before it. */
  readonly index: number;
  readonly bytes: number;
  /** The client is to send the rest. If not, the server does not read it for now. */
  readonly isAwaited: boolean;
};

/** A call whose messages may arrive in pieces. */
export type Arriving = {
  /** What it holds, which is in memory of its own from now on; undefined if that is nothing. Frees what it holds if it is over. */
  look(): Held | undefined;
  /** @throws HyperpolicyError if its caller may not send messages */
  check(): void;
  /** Ends it. */
  refuse(error: unknown): void;
};

const key = Symbol('arriving');
type Stream = Http2Stream & { [key]?: Arriving };

/** Has the call of a stream looked at while the stream is open. */
export function watchArrival(stream: Http2Stream, call: Arriving): void {
  (stream as Stream)[key] = call;
}

/** A call at a look, and how many looks ago its message began, and last grew. */
type Seen = Held & { readonly call: Arriving; readonly lookCount: number; readonly silentLookCount: number };

export class Arrivals {
  readonly #note: Note;
  readonly #wholeMsMax: number;
  readonly #scale: number;
  readonly #connections = new Set<ReadonlySet<Http2Stream>>();
  #seen = new Map<Arriving, Seen>();
  #timer: NodeJS.Timeout | undefined;

  /** @param messageBytesMax of one message */
  constructor(messageBytesMax: number, log: Logger) {
    this.#note = createNotes(log, 'calls ended whose message had not arrived whole', 'callCount');
    this.#wholeMsMax = wholeMsMax * Math.max(1, messageBytesMax / wholeBytes);
    this.#scale = Math.max(1, messageBytesMax / (messageShareMax * connectionBytesMax));
  }

  /** @param streams those of the session that are open, at any time */
  watch(session: ServerHttp2Session, streams: ReadonlySet<Http2Stream>): void {
    this.#connections.add(streams);
    session.once('close', () => {
      this.#connections.delete(streams);
      if (this.#connections.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#seen.clear();
    });
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
  }

  #look(): void {
    const before = this.#seen;
    this.#seen = new Map();
    for (const streams of this.#connections) {
      const ofConnection: Seen[] = [];
      for (const stream of streams) {
        const call = (stream as Stream)[key];
        const held = call?.look();
        if (held === undefined) continue;
        const seen = seenAgain(call!, held, before.get(call!));
        if (!this.#end(seen, before)) ofConnection.push(seen);
      }
      const kept = this.#keepWithin(this.#scale * connectionBytesMax, 'one connection', ofConnection);
      for (const seen of kept) this.#seen.set(seen.call, seen);
    }
    this.#keepWithin(this.#scale * allBytesMax, 'all connections', [...this.#seen.values()]);
  }

  /** @returns whether the call was refused, for its time or for its caller */
  #end(seen: Seen, before: ReadonlyMap<Arriving, Seen>): boolean {
    const { call, bytes, isAwaited, lookCount, silentLookCount } = seen;
    if (!isAwaited) return false;
    if (lookCount >= looksOf(this.#wholeMsMax) || silentLookCount >= looksOf(silentMsMax)) {
      const expected = `some of it in ${silentMsMax / 1000} s and all of it in ${this.#wholeMsMax / 1000} s`;
      const actual = `${bytes} bytes in ${(lookCount * lookMs) / 1000} s`;
      this.#refuse(seen, 'slow', deadlineExceeded({ where: 'message', expected, actual, remedy: 'Send less in one' }));
      return true;
    }
    if (before.has(call)) return false;
    try {
      call.check();
      return false;
    } catch (error) {
      call.refuse(error);
      return true;
    }
  }

  /** Refuses those that take longest, as others are soon over. @returns the others */
  #keepWithin(bytesMax: number, where: string, calls: readonly Seen[]): readonly Seen[] {
    let left = calls.reduce((sum, { bytes }) => sum + bytes, 0);
    if (left <= bytesMax) return calls;
    const error = resourceExhausted({
      where: `messages on ${where} that have not arrived whole`,
      expected: `at most ${bytesMax / mebibyte} MiB`,
      actual: `${Math.ceil(left / mebibyte)} MiB`,
      remedy: 'Send fewer large messages at once',
    });
    const longestFirst = [...calls].sort((a, b) => b.lookCount - a.lookCount || b.bytes - a.bytes);
    return longestFirst.filter((seen) => {
      if (left <= bytesMax || seen.bytes === 0) return true;
      left -= seen.bytes;
      this.#refuse(seen, 'too_many_bytes', error);
      return false;
    });
  }

  #refuse({ call, bytes }: Seen, reason: string, error: Error): void {
    this.#seen.delete(call);
    this.#note(reason, { bytes });
    call.refuse(error);
  }
}

/** Looks are counted, not time: of a server that was held up itself, nothing is to be told about its clients. */
function seenAgain(call: Arriving, held: Held, before: Seen | undefined): Seen {
  if (before?.index !== held.index) return { ...held, call, lookCount: 0, silentLookCount: 0 };
  const passed = held.isAwaited ? 1 : 0;
  const silentLookCount = held.bytes === before.bytes ? before.silentLookCount + passed : 0;
  return { ...held, call, lookCount: before.lookCount + passed, silentLookCount };
}
