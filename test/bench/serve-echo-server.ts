/**
 * The yardstick of the serving bench: a bare grpc-js server. It hands over Buffers untouched, with no codec, interceptor or log, under
 * the same channel options and at the same paths as the real server, so that a call differs in what the server does and in nothing else.
 */

import grpc from '@grpc/grpc-js';
import { serverDefaults } from '../../server/config.ts';
import { channelOptions } from '../../server/transport/grpc.ts';
import { paths } from './serve-client.ts';
import type { ActPayload } from './serve-requests.ts';

/** What Act and ActStream answer. */
export type EchoOptions = ActPayload & {
  /** Requests that must arrive byte for byte; others are refused. Without it nothing is looked at, which is the yardstick. */
  readonly expected?: ActPayload;
};

export type EchoServer = { readonly port: number; close(): void };

const identity = (bytes: Buffer) => bytes;
const codec = {
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};

/** Listens on a free port of the loopback. */
export function startEcho(options: EchoOptions): Promise<EchoServer> {
  const server = new grpc.Server(channelOptions(serverDefaults));
  server.addService(
    {
      Act: { path: paths.act, requestStream: false, responseStream: false, ...codec },
      ActStream: { path: paths.actStream, requestStream: true, responseStream: true, ...codec },
    },
    options.expected === undefined ? bare(options) : checking(options, options.expected),
  );
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) resolve({ port, close: () => server.forceShutdown() });
      else reject(error);
    });
  });
}

type UnaryCall = grpc.ServerUnaryCall<Buffer, Buffer>;
type Answer = grpc.sendUnaryData<Buffer>;
type Stream = grpc.ServerDuplexStream<Buffer, Buffer>;

const bare = ({ act, actStream }: ActPayload): grpc.UntypedServiceImplementation => ({
  Act(_call: UnaryCall, callback: Answer) {
    callback(null, act);
  },
  ActStream(stream: Stream) {
    stream.on('data', () => stream.write(actStream));
    stream.on('end', () => stream.end());
  },
});

const checking = ({ act, actStream }: ActPayload, expected: ActPayload): grpc.UntypedServiceImplementation => ({
  Act(call: UnaryCall, callback: Answer) {
    const difference = differenceOf(call.request, expected.act);
    callback(difference === undefined ? null : refusal(difference), act);
  },
  ActStream(stream: Stream) {
    stream.on('data', (bytes: Buffer) => {
      const difference = differenceOf(bytes, expected.actStream);
      if (difference === undefined) stream.write(actStream);
      else stream.emit('error', refusal(difference));
    });
    stream.on('end', () => stream.end());
  },
});

const refusal = (details: string) =>
  Object.assign(new Error(details), { code: grpc.status.INVALID_ARGUMENT, details, metadata: new grpc.Metadata() });

/** What differs, in words; undefined where nothing does. */
export function differenceOf(actual: Buffer, expected: Buffer): string | undefined {
  if (actual.equals(expected)) return undefined;
  const at = actual.findIndex((byte, i) => byte !== expected[i]);
  return `payload: expected the ${expected.length} bytes that were meant, got ${actual.length} that differ from byte ${at < 0 ? actual.length : at} on`;
}
