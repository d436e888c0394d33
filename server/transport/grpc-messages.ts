/**
 * The messages of a streaming call. Messages that are not compressed are read from and written to the call's HTTP/2 stream directly, as
 * frames: a byte that is 0, four bytes of length, the message. With the library's own frames a serial stream takes 10 to 19% longer
 * (test/bench/NOTES.md); they stay for clients that compress.
 */

import type { ServerHttp2Stream } from 'node:http2';
import grpc from '@grpc/grpc-js';
import { invalidArgument } from '../../src/contract/errors.ts';
import { tooLarge } from './invocation.ts';

export type LibraryCall = grpc.ServerInterceptingCallInterface;

/** Whoever takes the messages of a call. */
export type MessageListener = {
  /** Whether a message may come now; where not, `read` is called when it may again. */
  wants(): boolean;
  receive(bytes: Buffer): void;
  /** The client sends no more. */
  finish(): void;
  /** What came is no message: the listener ends the call. */
  refuse(error: unknown): void;
  /** The call has its status: from the listener, or from the library at the deadline and for what it cannot unpack. */
  ended(code: grpc.status): void;
};

export type Messages = {
  /** Gives what has come, as long as the listener wants it, and then asks for more. */
  read(): void;
  /**
   * Sends a message.
   * @param sent is called when the connection has it; never where the client has left
   */
  send(bytes: Uint8Array, sent: () => void): void;
  /** What the library tells of the call. */
  onReceiveMessage(bytes: Buffer): void;
  onReceiveHalfClose(): void;
  /** The call is over: what still comes is dropped, so that it does not keep the end of the stream from being seen. */
  stop(): void;
};

const headerBytes = 5;

/** Pieces of a message that wait for the rest are joined where there are more than so many, and they are smaller than so much. */
const pieceCountMin = 32;
const pieceBytesMin = 64;

/** What is needed of the library's call beyond its interface. */
type Internals = { readonly stream: ServerHttp2Stream; readonly incomingEncoding: string };

/** @param messageBytesMax of one message that comes */
export function messagesOf(call: LibraryCall, listener: MessageListener, messageBytesMax: number): Messages {
  const { stream, incomingEncoding } = call as unknown as Internals;
  // A reset, by which the client has left. By itself the stream would wait until what came before is read, and end as if it were sent.
  stream.once('aborted', () => stream.destroy());
  const sendStatus = call.sendStatus.bind(call);
  call.sendStatus = (status) => {
    listener.ended(status.code ?? grpc.status.UNKNOWN);
    sendStatus(status);
  };
  return incomingEncoding === 'identity'
    ? framesOf(call, stream, listener, messageBytesMax)
    : unpackedByLibrary(call, stream, listener);
}

function drop(stream: ServerHttp2Stream): void {
  stream.removeAllListeners('data');
  // A reset without an error, while what was sent before the status is not taken: nothing else would let go of it.
  stream.once('end', () => {
    if (stream.closed) stream.destroy();
  });
  stream.resume();
}

function framesOf(
  call: LibraryCall,
  stream: ServerHttp2Stream,
  listener: MessageListener,
  messageBytesMax: number,
): Messages {
  const received = createFrameBuffer(messageBytesMax);
  let isFinished = false;
  let isGiving = false;
  let isStopped = false;

  function give(): void {
    if (isGiving) return;
    isGiving = true;
    try {
      while (!isStopped && listener.wants()) {
        const message = received.take();
        if (message === undefined) break;
        listener.receive(message);
      }
    } catch (error) {
      listener.refuse(error);
    }
    isGiving = false;
    if (isStopped) return;
    if (!listener.wants()) stream.pause();
    else if (isFinished && received.isEmpty) listener.finish();
    else if (isFinished) listener.refuse(cutOff());
    else if (stream.isPaused()) stream.resume();
  }

  stream.removeAllListeners('data');
  stream.on('data', (chunk: Buffer) => {
    received.add(chunk);
    give();
  });
  // The library tells that the client sends no more only to whoever waits for a message.
  call.startRead();

  return {
    read: give,
    send(bytes, sent) {
      call.sendMetadata(noMetadata);
      if (stream.destroyed || stream.writableEnded) return;
      const frame = Buffer.allocUnsafe(headerBytes + bytes.length);
      frame[0] = 0;
      frame.writeUInt32BE(bytes.length, 1);
      frame.set(bytes, headerBytes);
      stream.write(frame, (error) => {
        if (!error) sent();
      });
    },
    onReceiveMessage: () => {},
    onReceiveHalfClose() {
      if (stream.aborted) return;
      isFinished = true;
      give();
    },
    stop() {
      isStopped = true;
      drop(stream);
    },
  };
}

/** The library sends it once however often it is given. */
const noMetadata = new grpc.Metadata();

/** Bytes as they come, in pieces of any size, to whole messages. Holds one message that is not whole, and what came with it. */
export function createFrameBuffer(messageBytesMax: number) {
  let pieces: Buffer[] = [];
  let byteCount = 0;
  /** Bytes that must be there before there is a message, or its length. */
  let needed = headerBytes;

  return {
    /** Whether everything that came was taken. */
    get isEmpty(): boolean {
      return byteCount === 0;
    },
    add(piece: Buffer): void {
      pieces.push(piece);
      byteCount += piece.length;
      // A piece costs more than its bytes where they are few.
      if (pieces.length > pieceCountMin + byteCount / pieceBytesMin) pieces = [Buffer.concat(pieces, byteCount)];
    },
    /**
     * The next message; undefined until it is whole.
     * @throws HyperpolicyError resource_exhausted: larger than a message may be; invalid_argument: compressed
     */
    take(): Buffer | undefined {
      if (byteCount < needed) return undefined;
      // Pieces of a message that is not whole are not joined again and again.
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
  /** In a loop: the library may give a message before `startRead` returns. */
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
