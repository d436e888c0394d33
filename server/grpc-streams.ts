/** Streaming methods over grpc-js: backpressure, ends and cancellations. */

import type {
  DescMessage,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type grpc from '@grpc/grpc-js';
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
} from './grpc-call.ts';
import type { StreamHandler } from './rpc.ts';
import type { StatusName } from './status.ts';
import type { Caller } from './tokens.ts';

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

/** A method that answers each message of a stream while it is open. */
export function bidiStreamMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodBiDiStreaming<I, O>,
  open: StreamHandler<MessageShape<I>, MessageInitShape<O>>,
  {
    metrics,
    log,
    access,
    observer,
    openStreams,
  }: Pick<MethodDeps, 'metrics' | 'log' | 'access' | 'observer'> & { readonly openStreams: OpenStreams },
  codec: Codec<I, O> = descriptorCodec(method),
): GrpcMethod {
  const { parent, name } = method;
  const counts = metrics.method({ type: 'bidi_stream', service: parent.typeName, method: name });
  const observe = observer?.method(parent.typeName, name);

  function answer(stream: grpc.ServerDuplexStream<Buffer, Uint8Array>): void {
    const openedAtMs = performance.now();
    counts.started();
    let waitsForDrain = false;
    let isPaused = false;
    let ended = false;
    const readOrWait = () => (waitsForDrain || isPaused ? stream.pause() : stream.resume());
    const close = (status: StatusName) => {
      if (ended) return;
      ended = true;
      openStreams.delete(session);
      counts.handled(status, (performance.now() - openedAtMs) / 1000);
    };
    let caller: Caller | undefined;
    try {
      caller = callerOf(access, name, stream);
    } catch (error) {
      stream.emit('error', refusal(error, { method: name, context: createCall(stream, openedAtMs), counts, log }));
      return;
    }
    const session = open({
      send(response) {
        if (ended) return;
        counts.sent();
        const startMs = performance.now();
        const bytes = codec.encode(response);
        counts.encoded((performance.now() - startMs) / 1000);
        // A client that does not read its answers is not read from.
        if (!stream.write(bytes)) {
          waitsForDrain = true;
          readOrWait();
        }
      },
      pause() {
        isPaused = true;
        readOrWait();
      },
      resume() {
        isPaused = false;
        readOrWait();
      },
      end(error) {
        if (ended) return;
        if (error === undefined) {
          close('OK');
          stream.end();
          return;
        }
        const { code, details, metadata, status } = describeError(error, name, createCall(stream, openedAtMs), log);
        close(status);
        stream.emit('error', Object.assign(new Error(details), { code, details, metadata }));
      },
    });
    openStreams.add(session);
    const deadlineMs = deadlineOf(stream);
    stream.on('drain', () => {
      waitsForDrain = false;
      readOrWait();
    });
    stream.on('data', (bytes: Buffer) => {
      if (ended) return;
      counts.received();
      const receivedAtMs = performance.now();
      const observation = observe?.(receivedAtMs, headersOf(stream));
      const call = callAt(receivedAtMs, deadlineMs, { caller, observation });
      let request: MessageShape<I>;
      try {
        request = decodeRequest(method, codec.decode, bytes);
      } catch (error) {
        const { code, details, metadata, status } = describeError(error, name, call, log);
        observation?.end(status, call);
        close(status);
        session.abandon();
        stream.emit('error', Object.assign(new Error(details), { code, details, metadata }));
        return;
      }
      session.receive(request, call);
    });
    stream.on('end', () => session.finish());
    stream.on('cancelled', () => {
      session.abandon();
      close('CANCELLED');
    });
    // A reset of the connection; the library tells it again as cancelled.
    stream.on('error', () => {});
  }
  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, 'bidi_stream'),
    implementation: answer as grpc.UntypedHandleCall,
  };
}
