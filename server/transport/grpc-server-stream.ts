/** Methods over grpc-js that answer one request with responses until either side ends: the health watch. */

import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type grpc from '@grpc/grpc-js';
import { descriptorCodec } from './codec.ts';
import { deadlineOf, definitionOf, type GrpcMethod, headersOf, serviceError } from './grpc-call.ts';
import { createInvocations, type MethodDeps } from './invocation.ts';

export type ResponseStream<Response> = {
  send(response: Response): void;
  end(): void;
  /** Names the connection. */
  readonly peer: string;
};

/** Starts sending; returns what is called when the client has left. */
export type StreamStarter<Request, Response> = (request: Request, stream: ResponseStream<Response>) => () => void;

export function serverStreamMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  start: StreamStarter<MessageShape<I>, MessageInitShape<O>>,
  deps: MethodDeps,
): GrpcMethod {
  const { parent, name } = method;
  const codec = descriptorCodec(method);
  const invocations = createInvocations(method, 'server_stream', deps);
  const { counts } = invocations;

  function answer(stream: grpc.ServerWritableStream<Buffer, Uint8Array>): void {
    counts.started();
    const headers = headersOf(stream);
    const call = invocations.arrive({ receivedAtMs: performance.now(), deadlineMs: deadlineOf(stream), headers });
    try {
      call.caller = invocations.admit(headers);
      const stop = start(invocations.decode(codec.decode, stream.request), {
        send(response) {
          counts.sent();
          stream.write(codec.encode(response));
        },
        end() {
          invocations.end('OK', call);
          stream.end();
        },
        peer: stream.getPeer(),
      });
      stream.once('cancelled', () => {
        stop();
        invocations.end('CANCELLED', call);
      });
    } catch (error) {
      const status = invocations.describe(error, call);
      invocations.end(status.name, call);
      stream.emit('error', serviceError(status));
    }
  }
  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, 'server_stream'),
    implementation: answer as grpc.UntypedHandleCall,
  };
}
