/** The gRPC listener: methods, limits and drain. Only files named `grpc*` import grpc-js. */

import type { Http2SecureServer } from 'node:http2';
import { promisify } from 'node:util';
import grpc from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { addressOf, portInUse } from '../../src/contract/ports.ts';
import type { Certificates } from '../../src/files/certificates.ts';
import type { ServerConfig } from '../config.ts';
import type { MethodMetrics, Metrics } from '../telemetry/metrics.ts';
import { boundGrpcTimeout } from './deadline-headers.ts';
import type { GrpcMethod, OpenStreams } from './grpc-call.ts';
import { Connections } from './grpc-connections.ts';
import { watchUnary } from './grpc-unary.ts';
import { openPortTls, type PortTls } from './tls.ts';

export type GrpcListener = {
  readonly port: number;
  readonly connectionCount: number;
  /** Calls with an unread answer. */
  readonly unreadCount: number;
  /** Requests of open streams whose answer is not sent. */
  readonly streamRequestCount: number;
  /** Requests in flight finish, for at most `drainMs`; then the rest is cut. */
  drain(drainMs: number): Promise<void>;
};

export type ListenOptions = {
  readonly port: number;
  /** Names the port in errors. */
  readonly setting: string;
  /** Counts calls of unknown methods, and refused connections. */
  readonly metrics: Pick<Metrics, 'method' | 'connectionEnded' | 'tls' | 'reloaded'>;
  readonly log: Logger;
};

/** Credentials for the library's server; `PortTls.watch` renews them. */
function credentialsOf(certificates: Certificates | undefined): grpc.ServerCredentials {
  if (certificates === undefined) return grpc.ServerCredentials.createInsecure();
  const { cert, key, ca = null } = certificates.current.context;
  return grpc.ServerCredentials.createSsl(ca, [{ cert_chain: cert, private_key: key }], ca !== null);
}

/** Channel options; exported since the bench starts its echo server with the same. */
export const channelOptions = (config: ServerConfig): grpc.ServerOptions => ({
  'grpc.max_receive_message_length': config.messageBytesMax,
  'grpc.max_send_message_length': config.messageBytesMax,
  'grpc.max_concurrent_streams': config.connectionStreamCountMax,
  'grpc.enable_channelz': 0,
  ...duration('grpc.max_connection_idle_ms', config.connectionIdleMsMax),
  ...duration('grpc.max_connection_age_ms', config.connectionAgeMsMax),
  ...duration('grpc.max_connection_age_grace_ms', config.connectionAgeGraceMs),
  // A peer that does not answer pings is gone, even if TCP reports nothing.
  ...duration('grpc.keepalive_time_ms', config.keepaliveMs),
  ...duration('grpc.keepalive_timeout_ms', config.keepaliveTimeoutMs),
});

const bindAsync = promisify(grpc.Server.prototype.bindAsync);

/** Without the option the library has no limit. */
const duration = (name: string, ms: number) => (ms === 0 ? {} : { [name]: ms });

/** @throws HyperpolicyError failed_precondition if the port cannot be had */
export async function listenGrpc(
  methods: readonly GrpcMethod[],
  config: ServerConfig,
  { port: wanted, setting, metrics, log }: ListenOptions,
): Promise<GrpcListener> {
  // The library would log to standard error what its errors say anyway.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  const openStreams: OpenStreams = new Set();
  const server = new grpc.Server({ ...channelOptions(config), interceptors: [takingOver(methods, openStreams)] });
  countUnknown(server, metrics.method({ type: 'other', service: 'other', method: 'other' }));
  const connections = new Connections({ config, log, onEnd: metrics.connectionEnded });
  const tls = openPortTls(config, { port: setting === 'port' ? 'gRPC port' : setting, log, metrics });
  watchConnections(server, connections, tls);
  for (const service of new Set(methods.map((method) => method.service))) {
    const own = methods.filter((method) => method.service === service);
    server.addService(
      Object.fromEntries(own.map(({ name, definition }) => [name, definition])),
      Object.fromEntries(own.flatMap(({ name, implementation }) => (implementation ? [[name, implementation]] : []))),
    );
  }
  const address = addressOf(config.host, wanted);
  const port = await bindAsync.call(server, address, credentialsOf(tls)).catch((error: Error) => {
    tls?.close();
    throw portInUse(setting)(error, address);
  });
  return {
    port,
    get connectionCount() {
      return connections.count;
    },
    get unreadCount() {
      return connections.unreadCount;
    },
    get streamRequestCount() {
      return [...openStreams].reduce((sum, { pendingCount }) => sum + pendingCount, 0);
    },
    async drain(drainMs) {
      const drained = drain(server, addressOf(config.host, port), drainMs);
      for (const stream of openStreams) stream.drain();
      await drained;
      connections.cut();
      tls?.close();
    },
  };
}

/** Passes calls to the methods that take them over, and has the others looked at while their request arrives. */
function takingOver(methods: readonly GrpcMethod[], openStreams: OpenStreams): grpc.ServerInterceptor {
  const byPath = new Map(methods.map((method) => [method.definition.path, method]));
  return ({ path }, call) => {
    const { takeOver, early } = byPath.get(path)!;
    if (takeOver !== undefined) return new TakenCall(call, () => takeOver(call, openStreams));
    watchUnary(call, early!);
    // The declared type is too narrow: the library accepts its own call.
    return call as grpc.ServerInterceptingCall;
  };
}

/** A call that the library's own handling never starts. */
class TakenCall extends grpc.ServerInterceptingCall {
  override readonly start: () => void;

  constructor(call: grpc.ServerInterceptingCallInterface, start: () => void) {
    super(call);
    this.start = start;
  }
}

/** The library does not expose its HTTP/2 servers, so the method that creates them is wrapped. */
function watchConnections(server: grpc.Server, connections: Connections, tls: PortTls | undefined): void {
  // Http2SecureServer with TLS, else Http2Server.
  const maker = server as unknown as { createHttp2Server(credentials: grpc.ServerCredentials): Http2SecureServer };
  const make = maker.createHttp2Server.bind(server);
  maker.createHttp2Server = (credentials) => {
    const made = make(credentials);
    connections.watch(made);
    // Before the library's own listener, which reads the header.
    made.prependListener('stream', (_stream, headers) => boundGrpcTimeout(headers));
    tls?.watch(made);
    return made;
  };
}

/**
 * Asks connections to leave at once, and cuts them after `drainMs`.
 *
 * Not with `forceShutdown`: without channelz the library does not know its connections, so that call cuts none.
 */
function drain(server: grpc.Server, address: string, drainMs: number): Promise<void> {
  return new Promise((resolve) => {
    // In this order: the library does not cut a connection that `tryShutdown` has begun to close.
    server.drain(address, drainMs);
    const timer = setTimeout(resolve, drainMs + 1000);
    server.tryShutdown(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/**
 * Counts calls of unknown methods, which the library answers with UNIMPLEMENTED. Interceptors do not see them, so the table of methods
 * counts failed lookups.
 */
function countUnknown(server: grpc.Server, counts: MethodMetrics): void {
  class CountingTable extends Map<string, unknown> {
    override get(path: string): unknown {
      const method = super.get(path);
      if (method === undefined) {
        counts.started();
        counts.handled('UNIMPLEMENTED', 0);
        counts.answered('UNIMPLEMENTED', 0);
      }
      return method;
    }
  }
  (server as unknown as { handlers: Map<string, unknown> }).handlers = new CountingTable();
}
