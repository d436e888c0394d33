/** The client's side of ActStream: a call per message, answered in order. */

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import type grpc from '@grpc/grpc-js';
import { resourceExhausted } from '../../src/contract/errors.ts';
import {
  ActStreamRequestSchema,
  type ActStreamResponse,
  ActStreamResponseSchema,
  PolicyService,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type ActOptions, type ActResult, actFields, actResult } from './act.ts';
import type { Connection } from './connection.ts';
import { malformedResponse, toClientError, toNamedError } from './errors.ts';

export type ActStreamOptions = Pick<ActOptions, 'model' | 'version' | 'label' | 'fingerprint' | 'clientId'> & {
  /** Answer with the newest version at each time, instead of the one that the stream began with. */
  readonly follow?: boolean;
  /** Where several requests wait, answer only the newest; the others fail with `resource_exhausted`. */
  readonly newestWins?: boolean;
};

/** One request of a stream; the model is the stream's. */
export type StreamedAct = Omit<ActOptions, 'model' | 'version' | 'label' | 'fingerprint' | 'clientId' | 'sequence'>;

export type ActStream = {
  /** @throws HyperpolicyError as `act`; when the stream ends, everything that is pending fails */
  act(request: StreamedAct): Promise<ActResult>;
  /** Sends no more; what is pending is still answered. */
  close(): Promise<void>;
};

type Pending = {
  readonly sequence: bigint;
  resolve(result: ActResult): void;
  reject(error: unknown): void;
};

export function openActStream({ client, address, metadata }: Connection, options: ActStreamOptions): ActStream {
  const { follow = false, newestWins = false, ...selection } = options;
  const method = PolicyService.method.actStream;
  const stream = client.makeBidiStreamRequest(
    `/${method.parent.typeName}/${method.name}`,
    ({ buffer, byteOffset, byteLength }: Uint8Array) => Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
    (bytes: Buffer) => bytes,
    metadata(),
  );
  const pending: Pending[] = [];
  let sequence = 0n;
  let ended: Error | undefined;
  let closed = () => {};
  const end = new Promise<void>((resolve) => {
    closed = resolve;
  });

  function fail(error: Error): void {
    ended ??= error;
    for (const { reject } of pending.splice(0)) reject(error);
    closed();
  }

  stream.on('data', (bytes: Buffer) => {
    let result: ActStreamResponse['result'];
    try {
      ({ result } = fromBinary(ActStreamResponseSchema, bytes));
    } catch (cause) {
      fail(malformedResponse('ActStream', address, cause));
      stream.cancel();
      return;
    }
    if (result.case === undefined) return;
    const answered = result.value.sequence;
    // Those before it were superseded: the server answers in order.
    while (pending[0] !== undefined && pending[0].sequence < answered) {
      pending.shift()!.reject(
        resourceExhausted({
          where: 'ActStream',
          expected: 'the newest request',
          actual: 'one that a newer superseded',
        }),
      );
    }
    const next = pending.shift();
    if (result.case === 'response') next?.resolve(actResult(result.value));
    else next?.reject(toNamedError(result.value.status, result.value.text));
  });
  stream.on('error', (error: grpc.ServiceError) => {
    fail(toClientError(error, { address, method: 'ActStream', timeoutMs: 0 }));
  });
  stream.on('end', () => fail(new Error('ActStream: the stream has ended')));

  return {
    act(request) {
      if (ended !== undefined) return Promise.reject(ended);
      sequence += 1n;
      const own = sequence;
      const fields =
        own === 1n
          ? actFields({ ...selection, ...request, sequence: own })
          : actFields({ ...request, model: '', clientId: selection.clientId ?? '', sequence: own });
      return new Promise((resolve, reject) => {
        pending.push({ sequence: own, resolve, reject });
        const message = create(ActStreamRequestSchema, {
          act: fields,
          follow,
          newestWins,
        });
        stream.write(toBinary(ActStreamRequestSchema, message));
      });
    },
    close() {
      stream.end();
      return end;
    },
  };
}
