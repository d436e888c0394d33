/** Helpers over grpc-js for every kind of method: its definition, and the headers, the deadline and the status of a call. */

import grpc from '@grpc/grpc-js';
import { toBuffer } from '../../src/contract/bytes.ts';
import { statusCodes } from '../../src/contract/status.ts';
import type { HeaderReader } from '../call/request-record.ts';
import type { StreamSession } from '../call/rpc.ts';
import type { Status } from '../call/status.ts';
import type { GrpcType } from '../telemetry/metrics.ts';
import type { LibraryCall } from './grpc-library-call.ts';

/** Open streams, which a drain ends, and whose pending requests are counted. */
export type OpenStreams = Set<Pick<StreamSession<unknown>, 'drain' | 'pendingCount'>>;

/** What is done with calls of a method before their request is whole. */
export type EarlyCalls = {
  /** @throws HyperpolicyError if their caller has no access */
  check(metadata: grpc.Metadata): void;
  /** Ends one with the status of the error, and counts that. */
  refuse(call: LibraryCall, error: unknown): void;
};

/** A method in the form of grpc-js. */
export type GrpcMethod = {
  readonly service: string;
  readonly name: string;
  readonly definition: grpc.MethodDefinition<Buffer, Uint8Array>;
  /** Undefined if the method has `takeOver`. */
  readonly implementation?: grpc.UntypedHandleCall;
  /** Handles a call instead of the library. */
  readonly takeOver?: (call: LibraryCall, openStreams: OpenStreams) => void;
  /** Of calls whose request has not arrived; undefined if the method has `takeOver`. */
  readonly early?: EarlyCalls;
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

export const headersOf =
  ({ metadata }: { metadata: grpc.Metadata }): HeaderReader =>
  (name) =>
    metadata.get(name)[0]?.toString();

/** The deadline on the clock of `Date.now()`; Infinity without one. */
export function deadlineOf(call: { getDeadline(): grpc.Deadline }): number {
  const deadline = call.getDeadline();
  return typeof deadline === 'number' ? deadline : deadline.getTime();
}

/** A status in the form of grpc-js. */
export const statusObject = ({ name, text }: Status) => ({
  code: statusCodes[name],
  details: text,
  metadata: new grpc.Metadata(),
});

/** The same as an error. */
export const serviceError = (status: Status): grpc.ServiceError =>
  Object.assign(new Error(status.text), statusObject(status));
