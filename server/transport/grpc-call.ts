/** What every kind of method needs of grpc-js: its definition, and the headers, the deadline and the status of a call. */

import grpc from '@grpc/grpc-js';
import { toBuffer } from '../../src/contract/bytes.ts';
import { statusCodes } from '../../src/contract/status.ts';
import type { HeaderReader } from '../call/request-record.ts';
import type { Status } from '../call/status.ts';
import type { GrpcType } from '../telemetry/metrics.ts';

/** Streams that are open, to be drained. */
export type OpenStreams = Set<{ drain(): void }>;

/** A method as grpc-js takes it. */
export type GrpcMethod = {
  readonly service: string;
  readonly name: string;
  readonly definition: grpc.MethodDefinition<Buffer, Uint8Array>;
  /** Undefined where the method takes its calls over. */
  readonly implementation?: grpc.UntypedHandleCall;
  /** Starts a call in place of the library's own handling of it. */
  readonly takeOver?: (call: grpc.ServerInterceptingCallInterface, openStreams: OpenStreams) => void;
};

export function definitionOf(service: string, name: string, type: GrpcType): grpc.MethodDefinition<Buffer, Uint8Array> {
  return {
    path: `/${service}/${name}`,
    requestStream: type === 'bidi_stream',
    responseStream: type !== 'unary',
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: toBuffer,
    responseDeserialize: (bytes) => bytes,
  };
}

/** Reads the metadata of a call. */
export const headersOf =
  ({ metadata }: { metadata: grpc.Metadata }): HeaderReader =>
  (name) =>
    metadata.get(name)[0]?.toString();

/** On the clock of `Date.now()`; Infinity without one. */
export function deadlineOf(call: { getDeadline(): grpc.Deadline }): number {
  const deadline = call.getDeadline();
  return typeof deadline === 'number' ? deadline : deadline.getTime();
}

/** A status as grpc-js sends it. */
export const statusObject = ({ name, text }: Status) => ({
  code: statusCodes[name],
  details: text,
  metadata: new grpc.Metadata(),
});

/** The same, where grpc-js wants an error. */
export const serviceError = (status: Status): grpc.ServiceError =>
  Object.assign(new Error(status.text), statusObject(status));
