/** Cuts connections of clients that do not read their answers, which would occupy the server's memory without limit. */

import type { Http2Stream, ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';

/** How long answers may stay unread while nothing is sent. */
const stalledMsMax = 10_000;
/** A client reads if at least this much is sent in that time: pings and settings are less. */
const readBytesMin = 10_000;
/** More unread bytes of one connection than this may last as long, even if the client reads. */
const unreadBytesMax = 64 * 1024 * 1024;
/** More than this is cut at the next look: the answers of all calls that a connection may have at once would be gigabytes. */
const unreadBytesLimit = 4 * unreadBytesMax;
const lookMs = 1000;

type Reader = {
  readonly socket: Socket;
  readonly streams: Set<Http2Stream>;
  /** Since when bytes are unread. */
  unreadSinceMs: number | undefined;
  /** Since when more than `unreadBytesMax` are unread. */
  overSinceMs: number | undefined;
  /** When `readBytesMin` had last been sent, and the total then. */
  readAtMs: number;
  readBytes: number;
};

export class Readers {
  readonly #cut: (socket: Socket) => void;
  readonly #readers = new Set<Reader>();
  #timer: NodeJS.Timeout | undefined;

  /** @param cut called for a connection whose client does not read */
  constructor(cut: (socket: Socket) => void) {
    this.#cut = cut;
  }

  /** Calls with an unread answer. */
  get unreadCount(): number {
    return [...this.#readers].flatMap(({ streams }) => [...streams]).filter(({ writableLength }) => writableLength > 0)
      .length;
  }

  /** @returns the streams of the session that are open, at any time */
  watch(session: ServerHttp2Session, socket: Socket): ReadonlySet<Http2Stream> {
    const reader: Reader = {
      socket,
      streams: new Set(),
      unreadSinceMs: undefined,
      overSinceMs: undefined,
      readAtMs: performance.now(),
      readBytes: socket.bytesWritten,
    };
    this.#readers.add(reader);
    session.on('stream', (stream) => {
      reader.streams.add(stream);
      stream.once('close', () => reader.streams.delete(stream));
    });
    session.once('close', () => {
      this.#readers.delete(reader);
      if (this.#readers.size > 0) return;
      clearInterval(this.#timer);
      this.#timer = undefined;
    });
    this.#timer ??= setInterval(() => this.#look(), lookMs).unref();
    return reader.streams;
  }

  #look(): void {
    const nowMs = performance.now();
    for (const reader of this.#readers) if (isStalled(reader, nowMs)) this.#cut(reader.socket);
  }
}

function isStalled(reader: Reader, nowMs: number): boolean {
  const { socket, streams } = reader;
  let unreadBytes = 0;
  for (const { writableLength } of streams) unreadBytes += writableLength;
  reader.unreadSinceMs = unreadBytes > 0 ? (reader.unreadSinceMs ?? nowMs) : undefined;
  reader.overSinceMs = unreadBytes > unreadBytesMax ? (reader.overSinceMs ?? nowMs) : undefined;
  if (socket.bytesWritten - reader.readBytes >= readBytesMin) {
    reader.readBytes = socket.bytesWritten;
    reader.readAtMs = nowMs;
  }
  const since = (ms: number | undefined) => (ms === undefined ? 0 : nowMs - ms);
  const isIdle = Math.min(since(reader.unreadSinceMs), nowMs - reader.readAtMs) > stalledMsMax;
  return unreadBytes > unreadBytesLimit || isIdle || since(reader.overSinceMs) > stalledMsMax;
}
