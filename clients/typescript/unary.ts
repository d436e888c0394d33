/** One call over a connection: encoding, deadline, abort, errors. Shared by every client over gRPC. */

import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { toBuffer } from '../../src/contract/bytes.ts';
import { timerMs } from '../../src/contract/timers.ts';
import type { Called } from './call-options.ts';
import type { Connection } from './connection.ts';
import { closedError, type FailedStatus, toClientError, tooLargeError } from './errors.ts';
import { beginCall, type LibraryCall } from './library-call.ts';
import { type Sender, unusable } from './received.ts';
import { codecOf } from './unary-codec.ts';

/** Calls a method and waits for its response. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  connection: Connection,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  { timeoutMs, signal, metadata, routingKey }: Called,
): Promise<MessageShape<O>> {
  const { address, channel, messageBytesMax } = connection;
  const { name } = method;
  const { path, encode, decode } = codecOf(method);
  return new Promise((resolve, reject) => {
    if (connection.closed) return reject(closedError(name));
    if (signal?.aborted) return reject(signal.reason);
    const waitMs = timerMs(timeoutMs);
    const bytes = encode(request);
    if (bytes.length > messageBytesMax) return reject(tooLargeError(`${name} request`, messageBytesMax, bytes.length));
    const call = beginCall(channel.client, path, Date.now() + waitMs);
    const giveUp = (reason: unknown) => {
      reject(reason);
      call.cancelWithStatus(grpc.status.CANCELLED, 'given up');
    };
    const abort = () => giveUp(signal!.reason);
    const forget = connection.onClose(() => giveUp(closedError(name)));
    signal?.addEventListener('abort', abort, { once: true });
    const listener = whenDone(({ status, message }) => {
      forget();
      signal?.removeEventListener('abort', abort);
      if (status.code !== grpc.status.OK) {
        reject(toClientError(status, { address, method: name, timeoutMs: waitMs }));
      } else {
        // What is thrown inside a callback of grpc-js ends the process.
        try {
          resolve(parsed({ method: name, address }, decode, message));
        } catch (error) {
          reject(error);
        }
      }
    });
    call.start(connection.metadata(metadata, routingKey), listener);
    call.startRead();
    call.sendMessageWithContext({}, toBuffer(bytes));
    call.halfClose();
  });
}

type Done = { readonly status: FailedStatus; readonly message: Buffer | undefined };

function whenDone(then: (done: Done) => void): Parameters<LibraryCall['start']>[1] {
  let message: Buffer | undefined;
  return {
    onReceiveMetadata() {},
    onReceiveMessage(received: Buffer) {
      message = received;
    },
    onReceiveStatus: (status) => then({ status, message }),
  };
}

/** @throws HyperpolicyError failed_precondition: no message, or one that does not parse */
function parsed<T>(from: Sender, decode: (bytes: Uint8Array) => T, message: Uint8Array | undefined): T {
  if (message === undefined) throw unusable(from, 'a response without a message');
  try {
    return decode(message);
  } catch (cause) {
    throw unusable(from, `a response that does not parse (${(cause as Error).message})`, cause);
  }
}
