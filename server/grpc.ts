/** The gRPC listener: which methods, under which limits, and how it ends. Only the `grpc` files touch grpc-js and its codes. */

import { accessSync, constants } from 'node:fs';
import grpc from '@grpc/grpc-js';
import { invalidArgument } from '../src/spec/errors.ts';
import type { ServerConfig } from './config.ts';
import type { GrpcMethod } from './grpc-call.ts';
import type { MethodMetrics } from './metrics.ts';
import { portInUse } from './ports.ts';

export type GrpcListener = {
  readonly port: number;
  /** Lets requests in flight finish, for at most `drainMs`; then cuts what is left. */
  drain(drainMs: number): Promise<void>;
};

/** How often certificates are looked at for a change. */
const certificateRefreshMs = 10_000;

/** @throws HyperpolicyError invalid_argument where only a part of what TLS needs is given, or a file cannot be read */
async function serverCredentials({
  tlsCertificateFile,
  tlsKeyFile,
  tlsClientAuthorityFile,
}: Pick<
  ServerConfig,
  'tlsCertificateFile' | 'tlsKeyFile' | 'tlsClientAuthorityFile'
>): Promise<grpc.ServerCredentials> {
  if (tlsCertificateFile === null && tlsKeyFile === null && tlsClientAuthorityFile === null) {
    return grpc.ServerCredentials.createInsecure();
  }
  if (tlsCertificateFile === null || tlsKeyFile === null) {
    throw invalidArgument({ where: 'TLS', expected: 'a certificate and a key', actual: 'only a part of them' });
  }
  for (const file of [tlsCertificateFile, tlsKeyFile, tlsClientAuthorityFile]) {
    if (file !== null) refuseUnreadable(file);
  }
  const provider = new grpc.experimental.FileWatcherCertificateProvider({
    certificateFile: tlsCertificateFile,
    privateKeyFile: tlsKeyFile,
    ...(tlsClientAuthorityFile !== null && { caCertificateFile: tlsClientAuthorityFile }),
    refreshIntervalMs: certificateRefreshMs,
  });
  await firstRead(provider);
  const asksClients = tlsClientAuthorityFile !== null;
  // Identity first, authorities of clients second: the library's declaration names them the other way round.
  return grpc.experimental.createCertificateProviderServerCredentials(
    provider,
    asksClients ? provider : null,
    asksClients,
  );
}

/** Files are read in the background; until then every connection would be dropped. */
function firstRead(provider: InstanceType<typeof grpc.experimental.FileWatcherCertificateProvider>): Promise<void> {
  return new Promise((resolve) => {
    const listener = () => {
      provider.removeIdentityCertificateListener(listener);
      resolve();
    };
    provider.addIdentityCertificateListener(listener);
  });
}

function refuseUnreadable(file: string): void {
  try {
    accessSync(file, constants.R_OK);
  } catch (cause) {
    throw invalidArgument({ where: 'TLS', expected: 'a file that can be read', actual: file, cause });
  }
}

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
  { port: wanted, setting, unknown }: ListenOptions,
): Promise<GrpcListener> {
  // The library writes to standard error by itself; what matters is in the errors that it gives.
  grpc.setLogVerbosity(grpc.logVerbosity.NONE);
  const server = new grpc.Server(channelOptions(config));
  countUnknown(server, unknown);
  for (const service of new Set(methods.map((method) => method.service))) {
    const own = methods.filter((method) => method.service === service);
    server.addService(
      Object.fromEntries(own.map(({ name, definition }) => [name, definition])),
      Object.fromEntries(own.map(({ name, implementation }) => [name, implementation])),
    );
  }
  const port = await bind(server, config.host, { port: wanted, setting, credentials: await serverCredentials(config) });
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
  /** Counts calls of methods that are not served. */
  readonly unknown: MethodMetrics;
};

/**
 * Counts the calls that the library answers by itself with UNIMPLEMENTED. No interceptor sees them: its table of methods is the only
 * place that every call passes.
 */
function countUnknown(server: grpc.Server, counts: MethodMetrics): void {
  class CountingTable extends Map<string, unknown> {
    override get(path: string): unknown {
      const method = super.get(path);
      if (method === undefined) {
        counts.started();
        counts.handled('UNIMPLEMENTED', 0);
      }
      return method;
    }
  }
  (server as unknown as { handlers: Map<string, unknown> }).handlers = new CountingTable();
}

function bind(
  server: grpc.Server,
  host: string,
  { port, setting, credentials }: Omit<ListenOptions, 'unknown'> & { readonly credentials: grpc.ServerCredentials },
): Promise<number> {
  const address = addressOf(host, port);
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(portInUse(setting, address, error));
    });
  });
}
