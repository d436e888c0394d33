/** One gRPC call of ActStream: messages out, messages in, one end. A stream may have several after each other. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type grpc from '@grpc/grpc-js';
import { encodeActStreamRequest } from '../../src/contract/act-request.ts';
import { decodeActStreamResponse } from '../../src/contract/act-response.ts';
import { toBuffer } from '../../src/contract/bytes.ts';
import {
  type ActStreamRequestSchema,
  type ActStreamResponse,
  PolicyService,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Metadata } from './call-options.ts';
import type { Connection } from './connection.ts';
import { toClientError } from './errors.ts';
import { unusable } from './received.ts';

export type StreamCall = {
  send(message: MessageInitShape<typeof ActStreamRequestSchema>): void;
  /** Sends no more; what was sent is still answered. */
  finish(): void;
  /** Ends at once; nothing is told of it. */
  cancel(): void;
};

export type StreamListener = {
  message(result: NonNullable<ActStreamResponse['result']['value']>): void;
  /** Once, unless it was cancelled. @param error undefined where the server ended it with OK */
  ended(error: Error | undefined): void;
};

export function openStreamCall(
  { channel, address, metadata }: Connection,
  { metadata: own, routingKey }: { readonly metadata: Metadata | undefined; readonly routingKey: string | undefined },
  listener: StreamListener,
): StreamCall {
  const { parent, name } = PolicyService.method.actStream;
  const from = { method: name, address };
  const stream = channel.client.makeBidiStreamRequest(
    `/${parent.typeName}/${name}`,
    toBuffer,
    (bytes: Buffer) => bytes,
    metadata(own, routingKey),
  );
  let isOver = false;

  function end(error: Error | undefined): void {
    if (isOver) return;
    isOver = true;
    listener.ended(error);
  }

  stream.on('data', (bytes: Buffer) => {
    if (isOver) return;
    const result = parse(bytes);
    if (!(result instanceof Error)) return listener.message(result);
    stream.cancel();
    end(result);
  });
  stream.on('error', (error: grpc.ServiceError) => end(toClientError(error, { ...from, timeoutMs: 0 })));
  stream.on('end', () => end(undefined));

  function parse(bytes: Buffer): NonNullable<ActStreamResponse['result']['value']> | Error {
    try {
      const { result } = decodeActStreamResponse(bytes);
      return result.value ?? unusable(from, 'a response with neither an answer nor an error');
    } catch (cause) {
      return unusable(from, `a response that does not parse (${(cause as Error).message})`, cause);
    }
  }

  return {
    send(message) {
      stream.write(encodeActStreamRequest(message));
    },
    finish: () => stream.end(),
    cancel() {
      isOver = true;
      stream.cancel();
    },
  };
}
