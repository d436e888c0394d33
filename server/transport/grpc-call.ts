/** What every kind of gRPC method shares: its definition, its decoding, its deadline, and errors as statuses. */

import { randomBytes } from 'node:crypto';
import type { DescMethod } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { invalidArgument, resourceExhausted } from '../../src/contract/errors.ts';
import { type Access, openAccess } from '../access/access.ts';
import type { Caller } from '../call/caller.ts';
import type { HeaderReader, RequestRecorder } from '../call/request-record.ts';
import type { Call } from '../call/rpc.ts';
import { type Status, statusCodes, statusOf } from '../call/status.ts';
import type { ServerConfig } from '../config.ts';
import type { GrpcType, MethodMetrics, Metrics } from '../telemetry/metrics.ts';

/** A method as grpc-js takes it. */
export type GrpcMethod = {
  readonly service: string;
  readonly name: string;
  readonly definition: grpc.MethodDefinition<Buffer, Uint8Array>;
  /** Undefined where the method takes its calls over. */
  readonly implementation?: grpc.UntypedHandleCall;
  /** Starts a call in place of the library's own handling of it. */
  readonly takeOver?: (call: grpc.ServerInterceptingCallInterface) => void;
};

export type MethodDeps = {
  readonly config: ServerConfig;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Requests being answered over all methods, against `requestCountMax`. */
  readonly gate: RequestGate;
  readonly access: Access;
  /** Undefined where no request is logged or traced. */
  readonly recorder?: RequestRecorder | undefined;
};

/** Counts requests in flight. */
export type RequestGate = { count: number };

export function definitionOf(service: string, name: string, type: GrpcType): grpc.MethodDefinition<Buffer, Uint8Array> {
  return {
    path: `/${service}/${name}`,
    requestStream: type === 'bidi_stream',
    responseStream: type !== 'unary',
    requestSerialize: (bytes) => bytes,
    requestDeserialize: (bytes) => bytes,
    responseSerialize: asBuffer,
    responseDeserialize: (bytes) => bytes,
  };
}

/** grpc-js frames messages with methods of Buffer. */
const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);

export const createCall = (call: { getDeadline(): grpc.Deadline }, receivedAtMs: number, about: CallAbout = {}): Call =>
  callAt(receivedAtMs, deadlineOf(call), about);

/** Reads the metadata of a call. */
export const headersOf =
  ({ metadata }: { metadata: grpc.Metadata }): HeaderReader =>
  (name) =>
    metadata.get(name)[0]?.toString();

/** Who calls. @throws HyperpolicyError where they are not let in */
export const callerOf = (
  access: Access,
  method: string,
  { metadata }: { metadata: grpc.Metadata },
): Caller | undefined =>
  access === openAccess ? undefined : access(method, metadata.get('authorization')[0]?.toString());

export function deadlineOf(call: { getDeadline(): grpc.Deadline }): number {
  const deadline = call.getDeadline();
  return typeof deadline === 'number' ? deadline : deadline.getTime();
}

export type CallAbout = Pick<Call, 'caller' | 'record'>;

export function callAt(receivedAtMs: number, deadlineMs: number, { caller, record }: CallAbout = {}): Call {
  let id: string | undefined;
  return {
    receivedAtMs,
    deadlineMs,
    caller,
    record,
    requestId: () => {
      id ??= randomBytes(8).toString('hex');
      return id;
    },
  };
}

/** @throws HyperpolicyError invalid_argument where the bytes are not a request of the method */
export function decodeRequest<Request>(
  { name, input }: Pick<DescMethod, 'name' | 'input'>,
  decode: (bytes: Buffer) => Request,
  bytes: Buffer,
): Request {
  try {
    return decode(bytes);
  } catch (cause) {
    throw invalidArgument({
      where: name,
      expected: `a ${input.typeName} message`,
      actual: `${bytes.length} bytes that do not parse as one`,
      cause,
    });
  }
}

type Refused = {
  readonly method: string;
  readonly context: Call;
  readonly counts: MethodMetrics;
  readonly log: Logger;
};

/** Counts an error, and makes of it what the client is told. */
export function refusal(error: unknown, { method, context, counts, log }: Refused): grpc.ServiceError {
  const { code, details, metadata, status } = describeError(error, method, context, log);
  context.record?.end(status, context);
  counts.handled(status, (performance.now() - context.receivedAtMs) / 1000);
  return Object.assign(new Error(details), { code, details, metadata });
}

export function describeError(error: unknown, method: string, call: Call, log: Logger) {
  const { name, text } = describeStatus(error, method, call, log);
  return { status: name, code: statusCodes[name], details: text, metadata: new grpc.Metadata() };
}

/** What a client is told of an error; a fault goes to the log, where its request id finds it. */
export function describeStatus(error: unknown, method: string, call: Call, log: Logger): Status {
  const status = statusOf(error, call.requestId);
  if (status.name === 'INTERNAL') {
    log.error({ err: error, method, requestId: call.requestId(), ...call.record?.fields() }, 'internal fault');
  } else log.debug({ method, status: status.name, reason: status.text }, 'request refused');
  return status;
}

/** Of a message, either way. */
export const tooLarge = (where: string, limit: number, actual: number, remedy?: string) =>
  resourceExhausted({ where, expected: `at most ${limit} bytes`, actual: `${actual}`, remedy });

export const tooManyRequests = (method: string, limit: number) =>
  resourceExhausted({
    where: method,
    expected: `at most ${limit} requests in flight`,
    actual: 'one more',
    remedy: 'Retry with backoff',
  });
