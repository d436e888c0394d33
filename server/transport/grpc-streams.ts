/**
 * Streaming methods over grpc-js: backpressure, ends and cancellations.
 *
 * They handle calls at the level of interceptors, below the library's object stream. With the object stream a pipelined stream has 0.60 to
 * 0.68 of the rate, and a serial one takes 7% longer: test/bench/NOTES.md.
 */

import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { tooLarge } from '../../src/contract/grpc-frames.ts';
import type { StatusName } from '../../src/contract/status.ts';
import type { HeaderReader } from '../call/request-record.ts';
import { type Call, type Client, createCall, type ResponseSink, type StreamSession } from '../call/rpc.ts';
import { type Codec, descriptorCodec } from './codec.ts';
import { deadlineOf, definitionOf, type GrpcMethod, headersOf, type OpenStreams, statusObject } from './grpc-call.ts';
import type { LibraryCall } from './grpc-library-call.ts';
import { type MessageListener, type Messages, messagesOf } from './grpc-messages.ts';
import { Invocations, type MethodDeps } from './invocation.ts';

/** With this many unsent answers, nothing more is read from the client. */
const unsentCountMax = 16;

/** A method with a stream of answers. */
export function streamMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodBiDiStreaming<I, O> | DescMethodServerStreaming<I, O>,
  open: Open<MessageShape<I>, MessageInitShape<O>>,
  deps: MethodDeps,
  codec: Codec<I, O> = descriptorCodec(method),
): GrpcMethod {
  const { parent, name } = method;
  const type = method.methodKind === 'bidi_streaming' ? 'bidi_stream' : 'server_stream';
  const streamed: Streamed<MessageShape<I>, MessageInitShape<O>> = {
    open,
    codec,
    invocations: new Invocations(method, type, deps),
    messageBytesMax: deps.config.messageBytesMax,
  };
  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, type),
    takeOver(call, openStreams) {
      let stream: StreamCall<MessageShape<I>, MessageInitShape<O>>;
      call.start({
        onReceiveMetadata(metadata) {
          stream = new StreamCall(call, { metadata, method: streamed, openStreams });
          stream.messages.read();
        },
        onReceiveMessage: (bytes) => stream.messages.onReceiveMessage(bytes),
        onReceiveHalfClose: () => stream.messages.onReceiveHalfClose(),
        onCancel: () => stream.left(),
      });
    },
  };
}

/** A StreamHandler that also gets the name of the connection. */
type Open<Request, Response> = (sink: ResponseSink<Response>, peer: string) => StreamSession<Request>;

/** Shared by all streams of one method. */
type Streamed<Request, Response> = {
  readonly open: Open<Request, Response>;
  readonly codec: { decode(bytes: Buffer): Request; encode(response: Response): Uint8Array };
  readonly invocations: Invocations;
  readonly messageBytesMax: number;
};

type Opening<Request, Response> = {
  readonly metadata: grpc.Metadata;
  readonly method: Streamed<Request, Response>;
  readonly openStreams: OpenStreams;
};

/** One open stream, between the library's call and the session that answers. */
class StreamCall<Request, Response> implements ResponseSink<Response>, MessageListener, Client {
  readonly messages: Messages;
  readonly #call: LibraryCall;
  readonly #method: Streamed<Request, Response>;
  readonly #openStreams: OpenStreams;
  readonly #session: StreamSession<Request>;
  readonly #headers: HeaderReader;
  readonly #deadlineMs: number;
  /** The stream as a whole. */
  readonly #stream: Call;
  #stopWatching: (() => void) | undefined;
  #isEnded = false;
  #isPaused = false;
  #unsentCount = 0;

  constructor(call: LibraryCall, { metadata, method, openStreams }: Opening<Request, Response>) {
    const { invocations, messageBytesMax } = method;
    this.#call = call;
    this.#method = method;
    this.#openStreams = openStreams;
    this.#headers = headersOf({ metadata });
    this.#deadlineMs = deadlineOf(call);
    this.#stream = createCall(performance.now(), this.#deadlineMs);
    invocations.counts.started();
    this.#session = method.open(this, call.getPeer());
    openStreams.add(this.#session);
    this.messages = messagesOf(call, this, messageBytesMax);
    try {
      this.#stream.caller = invocations.identify(this.#headers);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#stopWatching = invocations.onAccessChange(() => this.#lookAgain());
  }

  /** The token may be gone, or may use other models. */
  #lookAgain(): void {
    try {
      this.#stream.caller = this.#method.invocations.know(this.#headers);
    } catch (error) {
      this.refuse(error);
    }
  }

  /** Called at every end of a call, even after `end`. */
  left(): void {
    this.#session.abandon();
    if (!this.#isEnded) this.#close('CANCELLED');
  }

  /** After the end nothing can be sent. */
  get cancelled(): boolean {
    return this.#isEnded;
  }

  send(response: Response): void {
    if (this.#isEnded) return;
    const { invocations, codec, messageBytesMax } = this.#method;
    const bytes = invocations.encode(codec.encode, response);
    if (bytes.length > messageBytesMax) {
      this.refuse(tooLarge('response', messageBytesMax, bytes.length));
      return;
    }
    invocations.counts.sent();
    this.#unsentCount++;
    this.messages.send(bytes, this.#sent);
  }

  readonly #sent = (): void => {
    this.#unsentCount--;
    if (this.#unsentCount === 0) this.messages.read();
  };

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.messages.read();
  }

  end(error?: unknown): void {
    if (this.#isEnded) return;
    if (error !== undefined) {
      this.#fail(error);
      return;
    }
    this.#close('OK');
    this.#call.sendStatus({ code: grpc.status.OK, details: 'OK', metadata: null });
  }

  wants(): boolean {
    return !this.#isEnded && !this.#isPaused && this.#unsentCount < unsentCountMax;
  }

  receive(bytes: Buffer): void {
    const { invocations, codec } = this.#method;
    const call = invocations.arrive({
      receivedAtMs: performance.now(),
      deadlineMs: this.#deadlineMs,
      headers: this.#headers,
      caller: this.#stream.caller,
      client: this,
    });
    let request: Request;
    try {
      request = invocations.decode(codec.decode, bytes);
    } catch (error) {
      // It ends the stream, and counts with that.
      this.refuse(error);
      return;
    }
    this.#session.receive(request, call);
  }

  finish(): void {
    this.#session.finish();
  }

  refuse(error: unknown): void {
    if (this.#isEnded) return;
    this.#session.abandon();
    this.#fail(error);
  }

  ended(code: grpc.status): void {
    if (this.#isEnded) return;
    this.#session.abandon();
    // The library only gives codes of StatusName.
    this.#close(grpc.status[code] as StatusName);
  }

  #fail(error: unknown): void {
    const status = this.#method.invocations.describe(error, this.#stream);
    this.#close(status.name);
    this.#call.sendStatus(statusObject(status));
  }

  #close(status: StatusName): void {
    this.#isEnded = true;
    this.#stopWatching?.();
    this.messages.stop();
    this.#openStreams.delete(this.#session);
    this.#method.invocations.end(status, this.#stream);
  }
}
