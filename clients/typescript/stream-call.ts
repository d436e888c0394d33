/**
 * One gRPC call of ActStream: messages out, messages in, one end. A stream may have several after each other.
 *
 * The first messages go by the library. As soon as everything that was sent is answered, messages are written to and read from the HTTP/2
 * stream itself, as frames: of what a message costs, the library's filters, retries and pauses are the most.
 */

import type { ClientHttp2Stream } from 'node:http2';
import grpc from '@grpc/grpc-js';
import { decodeActStreamResponse } from '../../src/contract/act-response.ts';
import { toBuffer } from '../../src/contract/bytes.ts';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import { createFrameBuffer, type FrameBuffer, frameOf } from '../../src/contract/grpc-frames.ts';
import { type ActStreamResponse, PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Metadata } from './call-options.ts';
import type { Connection } from './connection.ts';
import { toClientError, tooLargeResponseError } from './errors.ts';
import { beginCall, http2StreamOf, isLeaving, type LibraryCall } from './library-call.ts';
import { type Sender, unusable } from './received.ts';

export type StreamCall = {
  /** @param bytes one message, of at most `messageBytesMax`: the library would end the call for more */
  send(bytes: Uint8Array, sequence: bigint): void;
  /** Sends no more; what was sent is still answered. */
  finish(): void;
  /** Ends at once; nothing is told of it. */
  cancel(): void;
  /** Whether its connection was told to leave: nothing but its own silence tells then that it is lost. */
  readonly isLeaving: boolean;
};

export type StreamListener = {
  message(result: StreamedResult): void;
  /** Once, unless it was cancelled. @param error undefined where the server ended it with OK */
  ended(error: Error | undefined): void;
};

type StreamedResult = NonNullable<ActStreamResponse['result']['value']>;

const { parent, name } = PolicyService.method.actStream;
const path = `/${parent.typeName}/${name}`;

export function openStreamCall(
  connection: Connection,
  { metadata, routingKey }: { readonly metadata: Metadata | undefined; readonly routingKey: string | undefined },
  listener: StreamListener,
): StreamCall {
  const call = beginCall(connection.channel.client, path, Number.POSITIVE_INFINITY);
  const opened = new OpenedCall(call, connection, listener);
  call.start(connection.metadata(metadata, routingKey), opened);
  call.startRead();
  return opened;
}

class OpenedCall implements StreamCall {
  readonly #call: LibraryCall;
  readonly #listener: StreamListener;
  readonly #messageBytesMax: number;
  readonly #from: Sender;
  /** Once it is written to and read from here. */
  #stream: ClientHttp2Stream | undefined;
  #sentSequence: bigint | undefined;
  /** What waits for the library, which takes one message after the other. */
  readonly #waiting: Buffer[] = [];
  #isSending = false;
  #isFinished = false;
  #isOver = false;

  constructor(call: LibraryCall, { address, messageBytesMax }: Connection, listener: StreamListener) {
    this.#call = call;
    this.#listener = listener;
    this.#messageBytesMax = messageBytesMax;
    this.#from = { method: name, address };
  }

  send(bytes: Uint8Array, sequence: bigint): void {
    this.#sentSequence = sequence;
    const stream = this.#stream;
    if (stream === undefined) {
      this.#waiting.push(toBuffer(bytes));
      this.#sendWaiting();
    } else if (!stream.destroyed && !stream.writableEnded) stream.write(frameOf(bytes));
  }

  finish(): void {
    this.#isFinished = true;
    this.#sendWaiting();
  }

  #sendWaiting(): void {
    if (this.#isSending || this.#isOver) return;
    const bytes = this.#waiting.shift();
    if (bytes === undefined) {
      if (this.#isFinished) this.#call.halfClose();
      return;
    }
    this.#isSending = true;
    const callback = () => {
      this.#isSending = false;
      this.#sendWaiting();
    };
    this.#call.sendMessageWithContext({ callback }, bytes);
  }

  cancel(): void {
    this.#isOver = true;
    this.#call.cancelWithStatus(grpc.status.CANCELLED, 'given up');
  }

  get isLeaving(): boolean {
    return isLeaving(this.#call);
  }

  onReceiveMetadata(): void {}

  onReceiveMessage(bytes: Buffer): void {
    const sequence = this.#receive(bytes);
    if (this.#isOver) return;
    // Nothing is under way, in neither direction, that the library would still have to pass on.
    const isIdle = sequence === this.#sentSequence && !this.#isSending && this.#waiting.length === 0;
    const stream = isIdle ? http2StreamOf(this.#call) : undefined;
    if (stream === undefined) this.#call.startRead();
    else this.#takeOver(stream);
  }

  onReceiveStatus(status: grpc.StatusObject): void {
    this.#end(status.code === grpc.status.OK ? undefined : toClientError(status, { ...this.#from, timeoutMs: 0 }));
  }

  #takeOver(stream: ClientHttp2Stream): void {
    this.#stream = stream;
    const received = createFrameBuffer(this.#messageBytesMax);
    stream.removeAllListeners('data');
    stream.on('data', (chunk: Buffer) => {
      if (this.#isOver) return;
      received.add(chunk);
      for (let bytes = this.#take(received); bytes !== undefined; bytes = this.#take(received)) this.#receive(bytes);
    });
    stream.resume();
  }

  #take(received: FrameBuffer): Buffer | undefined {
    try {
      return this.#isOver ? undefined : received.take();
    } catch (cause) {
      this.#refuse(cause as Error);
      return undefined;
    }
  }

  /** @returns the sequence of its request */
  #receive(bytes: Buffer): bigint | undefined {
    if (this.#isOver) return undefined;
    let result: StreamedResult | undefined;
    try {
      result = decodeActStreamResponse(bytes).result.value;
    } catch (cause) {
      this.#refuse(cause as Error);
      return undefined;
    }
    if (result === undefined) {
      this.#cut(unusable(this.#from, 'a response with neither an answer nor an error'));
      return undefined;
    }
    this.#listener.message(result);
    return result.sequence;
  }

  /** Of bytes that are no message, or more than one may have. */
  #refuse(cause: Error): void {
    const isTooLarge = cause instanceof HyperpolicyError && cause.kind === 'resource_exhausted';
    this.#cut(
      isTooLarge
        ? tooLargeResponseError(this.#from, this.#messageBytesMax, `one of ${cause.actual}`)
        : unusable(this.#from, `a response that does not parse (${cause.message})`, cause),
    );
  }

  #cut(error: Error): void {
    this.#call.cancelWithStatus(grpc.status.CANCELLED, error.message);
    this.#end(error);
  }

  #end(error: Error | undefined): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#listener.ended(error);
  }
}
