/** Streaming methods over grpc-js: backpressure, ends and cancellations. */

import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import type { Caller } from '../call/caller.ts';
import type { Call, StreamHandler } from '../call/rpc.ts';
import type { StatusName } from '../call/status.ts';
import { type Codec, descriptorCodec } from './codec.ts';
import {
  callAt,
  callerOf,
  createCall,
  deadlineOf,
  decodeRequest,
  definitionOf,
  describeError,
  type GrpcMethod,
  headersOf,
  type MethodDeps,
  refusal,
  tooLarge,
} from './grpc-call.ts';
import { type LibraryCall, messagesOf } from './grpc-messages.ts';

export type ResponseStream<Response> = {
  send(response: Response): void;
  end(): void;
  /** Names the connection. */
  readonly peer: string;
};

/** Starts sending; returns what is called when the client has left. */
export type StreamStarter<Request, Response> = (request: Request, stream: ResponseStream<Response>) => () => void;

/** A method that answers one request with responses until either side ends it. */
export function serverStreamMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  start: StreamStarter<MessageShape<I>, MessageInitShape<O>>,
  { metrics, log, access }: Pick<MethodDeps, 'metrics' | 'log' | 'access'>,
): GrpcMethod {
  const { parent, name } = method;
  const codec = descriptorCodec(method);
  const counts = metrics.method({ type: 'server_stream', service: parent.typeName, method: name });

  function answer(call: grpc.ServerWritableStream<Buffer, Uint8Array>): void {
    const receivedAtMs = performance.now();
    counts.started();
    counts.received();
    const handled = (status: 'OK' | 'CANCELLED') => counts.handled(status, (performance.now() - receivedAtMs) / 1000);
    try {
      callerOf(access, name, call);
      const stop = start(decodeRequest(method, codec.decode, call.request), {
        send(response) {
          counts.sent();
          call.write(codec.encode(response));
        },
        end() {
          handled('OK');
          call.end();
        },
        peer: call.getPeer(),
      });
      call.once('cancelled', () => {
        stop();
        handled('CANCELLED');
      });
    } catch (error) {
      call.emit('error', refusal(error, { method: name, context: createCall(call, receivedAtMs), counts, log }));
    }
  }
  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, 'server_stream'),
    implementation: answer as grpc.UntypedHandleCall,
  };
}

/** Streams that are open, to be drained. */
export type OpenStreams = Set<{ drain(): void }>;

/** Answers on their way to a client: one that does not read them is not read from. */
const unsentCountMax = 16;

/**
 * A method that answers each message of a stream while it is open.
 *
 * It takes its calls over where the library lets interceptors in, below the library's stream of objects: that one costs more than a
 * small network.
 */
export function bidiStreamMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodBiDiStreaming<I, O>,
  open: StreamHandler<MessageShape<I>, MessageInitShape<O>>,
  {
    metrics,
    log,
    access,
    recorder,
    openStreams,
    config,
  }: Pick<MethodDeps, 'config' | 'metrics' | 'log' | 'access' | 'recorder'> & { readonly openStreams: OpenStreams },
  codec: Codec<I, O> = descriptorCodec(method),
): GrpcMethod {
  const { parent, name } = method;
  const counts = metrics.method({ type: 'bidi_stream', service: parent.typeName, method: name });
  const openRecord = recorder?.method(parent.typeName, name);

  function answer(call: LibraryCall, metadata: grpc.Metadata) {
    const openedAtMs = performance.now();
    counts.started();
    const headers = headersOf({ metadata });
    const deadlineMs = deadlineOf(call);
    let ended = false;

    const close = (status: StatusName): void => {
      ended = true;
      messages.stop();
      openStreams.delete(session);
      counts.handled(status, (performance.now() - openedAtMs) / 1000);
    };
    const fail = (error: unknown, about: Call): void => {
      const { code, details, metadata, status } = describeError(error, name, about, log);
      about.record?.end(status, about);
      close(status);
      call.sendStatus({ code, details, metadata });
    };

    const refuse = (error: unknown, about = createCall(call, openedAtMs)): void => {
      session.abandon();
      fail(error, about);
    };

    let isPaused = false;
    let unsentCount = 0;
    const sent = (): void => {
      unsentCount--;
      if (unsentCount === 0) messages.read();
    };

    const session = open({
      send(response) {
        if (ended) return;
        const startMs = performance.now();
        const bytes = codec.encode(response);
        counts.encoded((performance.now() - startMs) / 1000);
        if (bytes.length > config.messageBytesMax) {
          refuse(tooLarge('response', config.messageBytesMax, bytes.length));
          return;
        }
        counts.sent();
        unsentCount++;
        messages.send(bytes, sent);
      },
      pause() {
        isPaused = true;
      },
      resume() {
        isPaused = false;
        messages.read();
      },
      end(error) {
        if (ended) return;
        if (error !== undefined) {
          fail(error, createCall(call, openedAtMs));
          return;
        }
        close('OK');
        call.sendStatus({ code: grpc.status.OK, details: 'OK', metadata: null });
      },
    });
    openStreams.add(session);

    let caller: Caller | undefined;
    const messages = messagesOf(
      call,
      {
        wants: () => !ended && !isPaused && unsentCount < unsentCountMax,
        receive(bytes) {
          counts.received();
          const receivedAtMs = performance.now();
          const about = callAt(receivedAtMs, deadlineMs, { caller, record: openRecord?.(receivedAtMs, headers) });
          let request: MessageShape<I>;
          try {
            request = decodeRequest(method, codec.decode, bytes);
          } catch (error) {
            refuse(error, about);
            return;
          }
          session.receive(request, about);
        },
        finish: () => session.finish(),
        refuse,
        ended(code) {
          if (ended) return;
          session.abandon();
          // The library has no codes of its own.
          close(grpc.status[code] as StatusName);
        },
      },
      config.messageBytesMax,
    );
    try {
      caller = callerOf(access, name, { metadata });
    } catch (error) {
      fail(error, createCall(call, openedAtMs));
    }

    const cancelled = (): void => {
      // Also after an end of our own.
      session.abandon();
      if (!ended) close('CANCELLED');
    };
    return { messages, cancelled };
  }

  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, 'bidi_stream'),
    takeOver(call) {
      let taken: ReturnType<typeof answer>;
      call.start({
        onReceiveMetadata(metadata) {
          taken = answer(call, metadata);
          taken.messages.read();
        },
        onReceiveMessage: (bytes) => taken.messages.onReceiveMessage(bytes),
        onReceiveHalfClose: () => taken.messages.onReceiveHalfClose(),
        onCancel: () => taken.cancelled(),
      });
    },
  };
}
