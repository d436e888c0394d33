/** One call over a connection: encoding, deadline, abort, errors. Shared by every client here. */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import type { Connection } from './connection.ts';
import { malformedResponse, toClientError } from './errors.ts';

export type CallOptions = {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
};

type Called = { readonly timeoutMs: number; readonly signal?: AbortSignal };

/** Calls a method and waits for its response. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  { client, address, metadata }: Connection,
  { parent, name, input, output }: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  { timeoutMs, signal }: Called,
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      pending.cancel();
      reject(signal?.reason);
    };
    const pending = client.makeUnaryRequest(
      `/${parent.typeName}/${name}`,
      // grpc-js frames messages with methods of Buffer.
      ({ buffer, byteOffset, byteLength }: Uint8Array) => Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
      (bytes: Buffer) => bytes,
      toBinary(input, create(input, request)),
      metadata(),
      { deadline: Date.now() + timeoutMs },
      (error, bytes) => {
        signal?.removeEventListener('abort', abort);
        if (error !== null) reject(toClientError(error, { address, method: name, timeoutMs }));
        else resolveParsed(output, bytes!);
      },
    );
    signal?.addEventListener('abort', abort, { once: true });

    /** Inside a callback of grpc-js: what is thrown here would end the process. */
    function resolveParsed(schema: O, bytes: Uint8Array): void {
      try {
        resolve(fromBinary(schema, bytes));
      } catch (cause) {
        reject(malformedResponse(name, address, cause));
      }
    }
  });
}
