/** The gRPC listener: which methods, under which limits, and how it ends. Only the `grpc` files touch grpc-js and its codes. */

import grpc from '@grpc/grpc-js';
import type { ServerConfig } from './config.ts';
import type { GrpcMethod } from './grpc-call.ts';
import { portInUse } from './ports.ts';

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
export async function listenGrpc(
  methods: readonly GrpcMethod[],
  config: ServerConfig,
  { port: wanted, setting }: ListenOptions = { port: config.port, setting: 'port' },
): Promise<GrpcListener> {
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
  const port = await bind(server, config.host, { port: wanted, setting });
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

export type ListenOptions = {
  readonly port: number;
  /** What names the port, for errors. */
  readonly setting: string;
};

function bind(server: grpc.Server, host: string, { port, setting }: ListenOptions): Promise<number> {
  const address = addressOf(host, port);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(portInUse(setting, address, error));
    });
  });
}
