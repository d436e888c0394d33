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
import grpc from '@grpc/grpc-js';
import { encodeActRequest } from '../../src/contract/act-request.ts';
import { decodeActResponse } from '../../src/contract/act-response.ts';
import { toBuffer } from '../../src/contract/bytes.ts';
import { timerMs } from '../../src/contract/timers.ts';
import { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Called } from './call-options.ts';
import type { Connection } from './connection.ts';
import { closedError, toClientError } from './errors.ts';
import { beginCall } from './library-call.ts';
import { unusable } from './received.ts';

/** Calls a method and waits for its response. */
export function callUnary<I extends DescMessage, O extends DescMessage>(
  connection: Connection,
  method: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  { timeoutMs, signal, metadata, routingKey }: Called,
): Promise<MessageShape<O>> {
  const { address, channel } = connection;
  const { name } = method;
  const { path, encode, decode } = codecOf(method);
  return new Promise((resolve, reject) => {
    if (connection.closed) return reject(closedError(name));
    if (signal?.aborted) return reject(signal.reason);
    const waitMs = timerMs(timeoutMs);
    const bytes = encode(request);
    const call = beginCall(channel.client, path, Date.now() + waitMs);
    let answer: Buffer | undefined;
    const giveUp = (reason: unknown) => {
      reject(reason);
      call.cancelWithStatus(grpc.status.CANCELLED, 'given up');
    };
    const abort = () => giveUp(signal!.reason);
    const forget = connection.onClose(() => giveUp(closedError(name)));
    signal?.addEventListener('abort', abort, { once: true });
    call.start(connection.metadata(metadata, routingKey), {
      onReceiveMetadata() {},
      onReceiveMessage(message: Buffer) {
        answer = message;
      },
      onReceiveStatus(status) {
        forget();
        signal?.removeEventListener('abort', abort);
        if (status.code !== grpc.status.OK) {
          reject(toClientError(status, { address, method: name, timeoutMs: waitMs }));
        } else if (answer === undefined) reject(unusable({ method: name, address }, 'a response without a message'));
        else resolveParsed(answer);
      },
    });
    call.startRead();
    call.sendMessageWithContext({}, toBuffer(bytes));
    call.halfClose();

    /** Inside a callback of grpc-js: what is thrown here would end the process. */
    function resolveParsed(bytes: Uint8Array): void {
      try {
        resolve(decode(bytes));
      } catch (cause) {
        const what = `a response that does not parse (${(cause as Error).message})`;
        reject(unusable({ method: name, address }, what, cause));
      }
    }
  });
}

type UnaryCodec<I extends DescMessage, O extends DescMessage> = {
  readonly path: string;
  encode(request: MessageInitShape<I>): Uint8Array;
  decode(bytes: Uint8Array): MessageShape<O>;
};

const codecs = new Map<DescMethodUnary, UnaryCodec<DescMessage, DescMessage>>();

function codecOf<I extends DescMessage, O extends DescMessage>(method: DescMethodUnary<I, O>): UnaryCodec<I, O> {
  const known = codecs.get(method);
  if (known !== undefined) return known as unknown as UnaryCodec<I, O>;
  const { parent, name, input, output } = method;
  const made = {
    path: `/${parent.typeName}/${name}`,
    encode: (request: MessageInitShape<I>) => toBinary(input, create(input, request)),
    decode: (bytes: Uint8Array) => fromBinary(output, bytes),
    ...((method as DescMethodUnary) === PolicyService.method.act && {
      encode: encodeActRequest,
      decode: decodeActResponse,
    }),
  } as UnaryCodec<I, O>;
  codecs.set(method, made as unknown as UnaryCodec<DescMessage, DescMessage>);
  return made;
}
