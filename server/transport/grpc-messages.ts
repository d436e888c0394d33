/**
 * The messages of a streaming call. Uncompressed messages are read from and written to the call's HTTP/2 stream directly, as frames: a
 * zero byte, four bytes of length, the message. With the library's own frames a pipelined stream of a hyper policy has 0.82 of the rate,
 * and a serial one takes 6 to 10% longer (test/bench/NOTES.md); they stay for clients that compress.
 */

import type { ServerHttp2Stream } from 'node:http2';
import grpc from '@grpc/grpc-js';
import { invalidArgument } from '../../src/contract/errors.ts';
import { createFrameBuffer, type FrameBuffer, frameOf } from '../../src/contract/grpc-frames.ts';
import { type Arriving, type Held, watchArrival } from './arrivals.ts';
import {
  arrivedBytes,
  freeArrived,
  gatherArrived,
  internalsOf,
  isAmidMessage,
  type LibraryCall,
} from './grpc-library-call.ts';

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

export type Messages = Arriving & {
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

/** @param messageBytesMax of one received message */
export function messagesOf(call: LibraryCall, listener: MessageListener, messageBytesMax: number): Messages {
  const { stream, incomingEncoding } = internalsOf(call);
  // The client has reset the stream. Without this, the stream would end only when earlier data is read, as if the client had ended it.
  stream.once('aborted', () => stream.destroy());
  const sendStatus = call.sendStatus.bind(call);
  call.sendStatus = (status) => {
    listener.ended(status.code ?? grpc.status.UNKNOWN);
    sendStatus(status);
  };
  const messages =
    incomingEncoding === 'identity'
      ? new Frames({ call, stream, listener, messageBytesMax })
      : unpackedByLibrary(call, stream, listener);
  watchArrival(stream, messages);
  return messages;
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
  #givenCount = 0;

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
        this.#givenCount++;
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
    stream.write(frameOf(bytes), (error) => {
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
    this.#received.clear();
    drop(this.#stream);
  }

  look(): Held | undefined {
    if (this.#received.isEmpty) return undefined;
    this.#received.gather();
    return { index: this.#givenCount, bytes: this.#received.byteCount, isAwaited: this.#listener.wants() };
  }

  /** The caller was known when the stream began. */
  check(): void {}

  refuse(error: unknown): void {
    this.#listener.refuse(error);
  }
}

/** Passed with each message; the library sends it once. */
const noMetadata = new grpc.Metadata();

const cutOff = () =>
  invalidArgument({ where: 'stream', expected: 'whole messages', actual: 'an end in the middle of one' });

function unpackedByLibrary(call: LibraryCall, stream: ServerHttp2Stream, listener: MessageListener): Messages {
  const internals = internalsOf(call);
  let isAsked = false;
  let isAsking = false;
  let isStopped = false;
  let givenCount = 0;
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
      givenCount++;
      listener.receive(bytes);
      read();
    },
    onReceiveHalfClose() {
      if (isStopped || stream.aborted) return;
      if (isAmidMessage(internals)) listener.refuse(cutOff());
      else listener.finish();
    },
    stop() {
      isStopped = true;
      freeArrived(internals);
      drop(stream);
    },
    look() {
      // The library's decoder stays in the middle of the message that was freed.
      if (isStopped || !isAmidMessage(internals)) return undefined;
      gatherArrived(internals);
      return { index: givenCount, bytes: arrivedBytes(internals), isAwaited: isAsked };
    },
    check() {},
    refuse: (error) => listener.refuse(error),
  };
}
