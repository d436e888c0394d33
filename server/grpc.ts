/**
 * The one door to grpc-js: registers methods, turns bytes into messages and errors into statuses, counts and bounds calls.
 *
 * The codec is called here and not given to grpc-js, so that a message that does not parse is INVALID_ARGUMENT and the time of
 * receipt is known before anything is decoded.
 */

import { randomBytes } from 'node:crypto';
import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { invalidArgument, resourceExhausted } from '../src/spec/errors.ts';
import type { ServerConfig } from './config.ts';
import type { GrpcType, MethodMetrics, Metrics } from './metrics.ts';
import { portInUse } from './ports.ts';
import type { Call, UnaryHandler } from './rpc.ts';
import { statusCodes, statusOf } from './status.ts';

/** A method as grpc-js takes it. */
export type GrpcMethod = {
  readonly service: string;
  readonly name: string;
  readonly definition: grpc.MethodDefinition<Buffer, Uint8Array>;
  readonly implementation: grpc.UntypedHandleCall;
};

export type MethodDeps = {
  readonly config: ServerConfig;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Requests being answered over all methods, against `requestCountMax`. */
  readonly gate: RequestGate;
};

/** Counts requests in flight. */
export type RequestGate = { count: number };

/** A method that answers one request with one response. */
export function unaryMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  handler: UnaryHandler<MessageShape<I>, MessageInitShape<O>>,
  { config, metrics, log, gate }: MethodDeps,
): GrpcMethod {
  const { parent, name, input, output } = method;
  const counts = metrics.method({ type: 'unary', service: parent.typeName, method: name });

  function answer(call: grpc.ServerUnaryCall<Buffer, Uint8Array>, callback: grpc.sendUnaryData<Uint8Array>): void {
    const receivedAtMs = performance.now();
    counts.started();
    counts.received();
    gate.count++;
    const context = createCall(call, receivedAtMs);
    const succeed = (response: MessageInitShape<O>) => {
      const bytes = toBinary(output, create(output, response));
      if (bytes.length > config.messageBytesMax) throw responseTooLarge(name, bytes.length, config.messageBytesMax);
      gate.count--;
      counts.sent();
      counts.handled('OK', (performance.now() - receivedAtMs) / 1000);
      callback(null, bytes);
    };
    const fail = (error: unknown) => {
      gate.count--;
      callback(refusal(error, { method: name, context, counts, log }));
    };
    try {
      if (gate.count > config.requestCountMax) throw tooManyRequests(name, config.requestCountMax);
      const response = handler(decode(name, input, call.request), context);
      if (response instanceof Promise) response.then(succeed).catch(fail);
      else succeed(response);
    } catch (error) {
      fail(error);
    }
  }
  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, 'unary'),
    implementation: answer as grpc.UntypedHandleCall,
  };
}

export type ResponseStream<Response> = { send(response: Response): void; end(): void };

/** Starts sending; returns what is called when the client has left. */
export type StreamStarter<Request, Response> = (request: Request, stream: ResponseStream<Response>) => () => void;

/** A method that answers one request with responses until either side ends it. */
export function serverStreamMethod<I extends DescMessage, O extends DescMessage>(
  method: DescMethodServerStreaming<I, O>,
  start: StreamStarter<MessageShape<I>, MessageInitShape<O>>,
  { metrics, log }: Pick<MethodDeps, 'metrics' | 'log'>,
): GrpcMethod {
  const { parent, name, input, output } = method;
  const counts = metrics.method({ type: 'server_stream', service: parent.typeName, method: name });

  function answer(call: grpc.ServerWritableStream<Buffer, Uint8Array>): void {
    const receivedAtMs = performance.now();
    counts.started();
    counts.received();
    const handled = (status: 'OK' | 'CANCELLED') => counts.handled(status, (performance.now() - receivedAtMs) / 1000);
    try {
      const stop = start(decode(name, input, call.request), {
        send(response) {
          counts.sent();
          call.write(toBinary(output, create(output, response)));
        },
        end() {
          handled('OK');
          call.end();
        },
      });
      call.once('cancelled', () => {
        stop();
        handled('CANCELLED');
      });
    } catch (error) {
      call.emit('error', refusal(error, { method: name, context: createCall(call, receivedAtMs), counts, log }));
    }
  }
  return {
    service: parent.typeName,
    name,
    definition: definitionOf(parent.typeName, name, 'server_stream'),
    implementation: answer as grpc.UntypedHandleCall,
  };
}

function definitionOf(service: string, name: string, type: GrpcType): grpc.MethodDefinition<Buffer, Uint8Array> {
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
const asBuffer = ({ buffer, byteOffset, byteLength }: Uint8Array): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);

function createCall(call: { getDeadline(): grpc.Deadline }, receivedAtMs: number): Call {
  const deadline = call.getDeadline();
  let id: string | undefined;
  return {
    receivedAtMs,
    deadlineMs: typeof deadline === 'number' ? deadline : deadline.getTime(),
    requestId: () => {
      id ??= randomBytes(8).toString('hex');
      return id;
    },
  };
}

function decode<I extends DescMessage>(method: string, schema: I, bytes: Buffer): MessageShape<I> {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (cause) {
    throw invalidArgument({
      where: method,
      expected: `a ${schema.typeName} message`,
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

/** Counts and logs an error, and makes of it what the client is told. */
function refusal(error: unknown, { method, context, counts, log }: Refused): grpc.ServiceError {
  const { name, text } = statusOf(error, context.requestId);
  counts.handled(name, (performance.now() - context.receivedAtMs) / 1000);
  if (name === 'INTERNAL') log.error({ err: error, method, requestId: context.requestId() }, 'internal fault');
  else log.debug({ method, status: name, reason: text }, 'request refused');
  return Object.assign(new Error(text), { code: statusCodes[name], details: text, metadata: new grpc.Metadata() });
}

const tooManyRequests = (method: string, limit: number) =>
  resourceExhausted({
    where: method,
    expected: `at most ${limit} requests in flight`,
    actual: 'one more',
    remedy: 'Retry with backoff',
  });

const responseTooLarge = (method: string, bytes: number, limit: number) =>
  resourceExhausted({
    where: `${method} response`,
    expected: `at most ${limit} bytes`,
    actual: `${bytes}`,
    remedy: 'Split the batch',
  });

export type GrpcListener = {
  readonly port: number;
  /** Lets requests in flight finish, for at most `drainMs`; then cuts what is left. */
  drain(drainMs: number): Promise<void>;
};

/** Channel options that a bare server with the same limits has too; the bench starts its echo with them. */
export const channelOptions = (
  config: Pick<ServerConfig, 'messageBytesMax' | 'connectionStreamCountMax'>,
): grpc.ServerOptions => ({
  'grpc.max_receive_message_length': config.messageBytesMax,
  'grpc.max_send_message_length': config.messageBytesMax,
  'grpc.max_concurrent_streams': config.connectionStreamCountMax,
  'grpc.enable_channelz': 0,
});

/**
 * Listens with these methods.
 * @throws HyperpolicyError failed_precondition where the port cannot be had
 */
export async function listenGrpc(methods: readonly GrpcMethod[], config: ServerConfig): Promise<GrpcListener> {
  // The library writes to standard error by itself; what matters is in the errors that it gives.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  const server = new grpc.Server(channelOptions(config));
  for (const service of new Set(methods.map((method) => method.service))) {
    const own = methods.filter((method) => method.service === service);
    server.addService(
      Object.fromEntries(own.map(({ name, definition }) => [name, definition])),
      Object.fromEntries(own.map(({ name, implementation }) => [name, implementation])),
    );
  }
  const port = await bind(server, config.host, config.port);
  return { port, drain: (drainMs) => drain(server, addressOf(config.host, port), drainMs) };
}

const addressOf = (host: string, port: number): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;

/**
 * Connections are told to leave at once, and cut after `drainMs`.
 *
 * Not `forceShutdown`: without channelz the library loses track of its connections, and that call cuts none of them.
 */
function drain(server: grpc.Server, address: string, drainMs: number): Promise<void> {
  return new Promise((resolve) => {
    // In this order: a connection that is closing already would escape the cut.
    server.drain(address, drainMs);
    const timer = setTimeout(resolve, drainMs + 1000);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function bind(server: grpc.Server, host: string, port: number): Promise<number> {
  const address = addressOf(host, port);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(portInUse('port', address, error));
    });
  });
}
