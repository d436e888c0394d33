/**
 * The messages of a streaming call. Uncompressed messages are read from and written to the call's HTTP/2 stream directly, as frames: a
 * zero byte, four bytes of length, the message. With the library's own frames a serial stream takes 10 to 19% longer
 * (test/bench/NOTES.md); they stay for clients that compress.
 */

import type { ServerHttp2Stream } from 'node:http2';
import grpc from '@grpc/grpc-js';
import { invalidArgument } from '../../src/contract/errors.ts';
import { tooLarge } from './invocation.ts';

export type LibraryCall = grpc.ServerInterceptingCallInterface;

/** Receives the messages of a call. */
export type MessageListener = {
  /** Whether `receive` may be called now. If not, the listener calls `read` later. */
  wants(): boolean;
  receive(bytes: Buffer): void;
  /** The client sends no more. */
  finish(): void;
  /** The bytes are not a message. The listener ends the call. */
  refuse(error: unknown): void;
  /** The call has got its status, from the listener or from the library (deadline, a message that it cannot decompress). */
  ended(code: grpc.status): void;
};

export type Messages = {
  /** Gives arrived messages to the listener while it wants them, then reads more. */
  read(): void;
  /**
   * Sends a message.
   * @param sent called when the connection has accepted it; never if the client has left
   */
  send(bytes: Uint8Array, sent: () => void): void;
  /** Events of the library's call. */
  onReceiveMessage(bytes: Buffer): void;
  onReceiveHalfClose(): void;
  /** The call is over. Further data is dropped, since unread data would hide the end of the stream. */
  stop(): void;
};

const headerBytes = 5;

/** Pieces of an unfinished message are joined when there are more than `pieceCountMin`, plus one per `pieceBytesMin` bytes. */
const pieceCountMin = 32;
const pieceBytesMin = 64;

/** Members of the library's call that its interface does not declare. */
type Internals = { readonly stream: ServerHttp2Stream; readonly incomingEncoding: string };

/** @param messageBytesMax of one received message */
export function messagesOf(call: LibraryCall, listener: MessageListener, messageBytesMax: number): Messages {
  const { stream, incomingEncoding } = call as unknown as Internals;
  // The client has reset the stream. Without this, the stream would end only when earlier data is read, as if the client had ended it.
  stream.once('aborted', () => stream.destroy());
  const sendStatus = call.sendStatus.bind(call);
  call.sendStatus = (status) => {
    listener.ended(status.code ?? grpc.status.UNKNOWN);
    sendStatus(status);
  };
  return incomingEncoding === 'identity'
    ? new Frames({ call, stream, listener, messageBytesMax })
    : unpackedByLibrary(call, stream, listener);
}

function drop(stream: ServerHttp2Stream): void {
  stream.removeAllListeners('data');
  // If a client resets without an error and leaves answers unread, nothing else closes the stream.
  stream.once('end', () => {
    if (stream.closed) stream.destroy();
  });
  stream.resume();
}

type FramesOptions = {
  readonly call: LibraryCall;
  readonly stream: ServerHttp2Stream;
  readonly listener: MessageListener;
  readonly messageBytesMax: number;
};

/** Reads and writes frames on the HTTP/2 stream directly. */
class Frames implements Messages {
  readonly #call: LibraryCall;
  readonly #stream: ServerHttp2Stream;
  readonly #listener: MessageListener;
  readonly #received: FrameBuffer;
  /** The client sends no more. */
  #isFinished = false;
  /** The loop of `read` runs: the listener may call `read` from inside it. */
  #isGiving = false;
  #isStopped = false;

  constructor({ call, stream, listener, messageBytesMax }: FramesOptions) {
    this.#call = call;
    this.#stream = stream;
    this.#listener = listener;
    this.#received = createFrameBuffer(messageBytesMax);
    stream.removeAllListeners('data');
    stream.on('data', (chunk: Buffer) => {
      this.#received.add(chunk);
      this.read();
    });
    // The library reports the end of the client's messages only while it reads.
    call.startRead();
  }

  read(): void {
    if (this.#isGiving) return;
    this.#isGiving = true;
    try {
      while (!this.#isStopped && this.#listener.wants()) {
        const message = this.#received.take();
        if (message === undefined) break;
        this.#listener.receive(message);
      }
    } catch (error) {
      this.#listener.refuse(error);
    }
    this.#isGiving = false;
    if (!this.#isStopped) this.#settle();
  }

  /** Nothing more can be given now: pauses, ends, or waits for more bytes. */
  #settle(): void {
    if (!this.#listener.wants()) this.#stream.pause();
    else if (this.#isFinished && this.#received.isEmpty) this.#listener.finish();
    else if (this.#isFinished) this.#listener.refuse(cutOff());
    else if (this.#stream.isPaused()) this.#stream.resume();
  }

  send(bytes: Uint8Array, sent: () => void): void {
    this.#call.sendMetadata(noMetadata);
    const stream = this.#stream;
    if (stream.destroyed || stream.writableEnded) return;
    const frame = Buffer.allocUnsafe(headerBytes + bytes.length);
    frame[0] = 0;
    frame.writeUInt32BE(bytes.length, 1);
    frame.set(bytes, headerBytes);
    stream.write(frame, (error) => {
      if (!error) sent();
    });
  }

  onReceiveMessage(): void {}

  onReceiveHalfClose(): void {
    if (this.#stream.aborted) return;
    this.#isFinished = true;
    this.read();
  }

  stop(): void {
    this.#isStopped = true;
    drop(this.#stream);
  }
}

/** Passed with each message; the library sends it once. */
const noMetadata = new grpc.Metadata();

type FrameBuffer = ReturnType<typeof createFrameBuffer>;

/** Assembles messages from pieces of any size. */
export function createFrameBuffer(messageBytesMax: number) {
  let pieces: Buffer[] = [];
  let byteCount = 0;
  /** Bytes that the next step needs: a header, or a whole message. */
  let needed = headerBytes;

  return {
    /** No bytes are left. */
    get isEmpty(): boolean {
      return byteCount === 0;
    },
    add(piece: Buffer): void {
      pieces.push(piece);
      byteCount += piece.length;
      // A small piece takes more memory than its bytes.
      if (pieces.length > pieceCountMin + byteCount / pieceBytesMin) pieces = [Buffer.concat(pieces, byteCount)];
    },
    /**
     * The next message; undefined until it is whole.
     * @throws HyperpolicyError resource_exhausted: larger than a message may be; invalid_argument: compressed
     */
    take(): Buffer | undefined {
      if (byteCount < needed) return undefined;
      // Joined once all bytes are there, not at every piece.
      const bytes = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces, byteCount);
      if (pieces.length > 1) pieces = [bytes];
      if (bytes[0] !== 0) {
        throw invalidArgument({
          where: 'message',
          expected: 'one that is not compressed, as grpc-encoding has it',
          actual: `flag ${bytes[0]}`,
        });
      }
      const size = bytes.readUInt32BE(1);
      if (size > messageBytesMax) throw tooLarge('message', messageBytesMax, size);
      const end = headerBytes + size;
      if (byteCount < end) {
        needed = end;
        return undefined;
      }
      needed = headerBytes;
      byteCount -= end;
      pieces = byteCount === 0 ? [] : [bytes.subarray(end)];
      return bytes.subarray(headerBytes, end);
    },
  };
}

const cutOff = () =>
  invalidArgument({ where: 'stream', expected: 'whole messages', actual: 'an end in the middle of one' });

function unpackedByLibrary(call: LibraryCall, stream: ServerHttp2Stream, listener: MessageListener): Messages {
  let isAsked = false;
  let isAsking = false;
  /** A loop, since the library may deliver a message before `startRead` returns. */
  function read(): void {
    if (isAsking) return;
    isAsking = true;
    while (!isAsked && listener.wants()) {
      isAsked = true;
      call.startRead();
    }
    isAsking = false;
  }
  return {
    read,
    send: (bytes, sent) => call.sendMessage(bytes, sent),
    onReceiveMessage(bytes) {
      isAsked = false;
      listener.receive(bytes);
      read();
    },
    onReceiveHalfClose() {
      if (!stream.aborted) listener.finish();
    },
    stop: () => drop(stream),
  };
}
