/**
 * Unary methods over grpc-js.
 *
 * The codec is called here and not given to grpc-js, so that a message that does not parse is INVALID_ARGUMENT and the time of
 * receipt is known before anything is decoded.
 */

import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type grpc from '@grpc/grpc-js';
import type { Call, UnaryHandler } from '../call/rpc.ts';
import { type Codec, descriptorCodec } from './codec.ts';
import {
  callerOf,
  createCall,
  decodeRequest,
  definitionOf,
  type GrpcMethod,
  headersOf,
  type MethodDeps,
  refusal,
  tooLarge,
  tooManyRequests,
} from './grpc-call.ts';

/** A method that answers one request with one response. */
export function unaryMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  handler: UnaryHandler<MessageShape<I>, MessageInitShape<O>>,
  { config, metrics, log, gate, access, recorder }: MethodDeps,
  codec: Codec<I, O> = descriptorCodec(method),
): GrpcMethod {
  const { parent, name } = method;
  const counts = metrics.method({ type: 'unary', service: parent.typeName, method: name });
  const openRecord = recorder?.method(parent.typeName, name);

  function answer(call: grpc.ServerUnaryCall<Buffer, Uint8Array>, callback: grpc.sendUnaryData<Uint8Array>): void {
    const receivedAtMs = performance.now();
    counts.started();
    counts.received();
    gate.count++;
    const record = openRecord?.(receivedAtMs, headersOf(call));
    let context: Call | undefined;
    /** Once per request. */
    const send = (...reply: Parameters<typeof callback>) => {
      gate.count--;
      try {
        callback(...reply);
      } catch (error) {
        // It is answered and counted: what the library makes of it is between it and the client.
        log.error({ err: error, method: name }, 'answer not sent');
      }
    };
    const succeed = (response: MessageInitShape<O>) => {
      const startMs = performance.now();
      const bytes = codec.encode(response);
      const endMs = performance.now();
      counts.encoded((endMs - startMs) / 1000);
      record?.stage('encode', startMs, endMs);
      if (bytes.length > config.messageBytesMax) {
        throw tooLarge(`${name} response`, config.messageBytesMax, bytes.length, 'Split the batch');
      }
      counts.sent();
      counts.handled('OK', (endMs - receivedAtMs) / 1000);
      record?.end('OK', context!);
      send(null, bytes);
    };
    const fail = (error: unknown) => {
      const about = { method: name, context: context ?? createCall(call, receivedAtMs, { record }), counts, log };
      send(refusal(error, about));
    };
    try {
      if (gate.count > config.requestCountMax) throw tooManyRequests(name, config.requestCountMax);
      context = createCall(call, receivedAtMs, { caller: callerOf(access, name, call), record });
      const response = handler(decodeRequest(method, codec.decode, call.request), context);
      if (response instanceof Promise) response.then(succeed).catch(fail);
      else succeed(response);
    } catch (error) {
      fail(error);
    }
  }
  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, 'unary'),
    implementation: answer as grpc.UntypedHandleCall,
  };
}
