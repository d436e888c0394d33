/** One call over a connection: encoding, deadline, abort, errors. Shared by every client over gRPC. */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import { toBuffer } from '../../src/contract/bytes.ts';
import { timerMs } from '../../src/contract/timers.ts';
import type { Called } from './call-options.ts';
import type { Connection } from './connection.ts';
import { closedError, toClientError } from './errors.ts';
import { unusable } from './received.ts';

/** Calls a method and waits for its response. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  connection: Connection,
  { parent, name, input, output }: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  { timeoutMs, signal, metadata, routingKey }: Called,
): Promise<MessageShape<O>> {
  const { address, channel } = connection;
  return new Promise((resolve, reject) => {
    if (connection.closed) return reject(closedError(name));
    if (signal?.aborted) return reject(signal.reason);
    const waitMs = timerMs(timeoutMs);
    const call = channel.client.makeUnaryRequest(
      `/${parent.typeName}/${name}`,
      toBuffer,
      (bytes: Buffer) => bytes,
      toBinary(input, create(input, request)),
      connection.metadata(metadata, routingKey),
      { deadline: Date.now() + waitMs },
      (error, bytes) => {
        forget();
        signal?.removeEventListener('abort', abort);
        if (error !== null) reject(toClientError(error, { address, method: name, timeoutMs: waitMs }));
        else resolveParsed(output, bytes!);
      },
    );
    const giveUp = (reason: unknown) => {
      reject(reason);
      call.cancel();
    };
    const abort = () => giveUp(signal!.reason);
    const forget = connection.onClose(() => giveUp(closedError(name)));
    signal?.addEventListener('abort', abort, { once: true });

    /** Inside a callback of grpc-js: what is thrown here would end the process. */
    function resolveParsed(schema: O, bytes: Uint8Array): void {
      try {
        resolve(fromBinary(schema, bytes));
      } catch (cause) {
        const what = `a response that does not parse (${(cause as Error).message})`;
        reject(unusable({ method: name, address }, what, cause));
      }
    }
  });
}
