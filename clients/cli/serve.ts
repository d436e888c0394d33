/** `hyperpolicy serve`: runs the server in this process until SIGTERM or SIGINT, then drains. */

import { Command, Option } from 'commander';
import type { ServerSettings } from '../../server/config.ts';
import { serverDefaults } from '../../server/config.ts';
import { integerIn } from './options.ts';

const mebibyte = 1024 * 1024;

export function createCommand(name: string): Command {
  const integer = (flags: string, description: string, low: number, high: number, fallback: number) =>
    new Option(flags, description).argParser(integerIn(low, high)).default(fallback);
  const large = 2 ** 31 - 1;
  const d = serverDefaults;
  return new Command(name)
    .description('Serve the models of a store over gRPC. Logs JSON lines on standard output.')
    .option('--store <directory>', 'published models', d.store)
    .option('--host <address>', 'address to listen on, for every port', d.host)
    .addOption(integer('--port <port>', 'gRPC; 0 picks a free one', 0, 65535, d.port))
    .addOption(
      integer('--metrics-port <port>', 'HTTP /metrics, /healthz, /readyz; 0 picks a free one', 0, 65535, d.metricsPort),
    )
    .addOption(new Option('--admin-port <port>', 'gRPC AdminService; off unless given').argParser(integerIn(0, 65535)))
    .addOption(
      new Option('--http-port <port>', 'JSON over HTTP (Connect protocol); off unless given').argParser(
        integerIn(0, 65535),
      ),
    )
    .option('--http-origin <origin...>', 'web origins that may call the HTTP port')
    .option('--tls-certificate <file>', 'certificate chain, PEM; read again when it changes')
    .option('--tls-key <file>', 'its key, PEM')
    .option('--tls-client-authority <file>', 'ask clients for a certificate of this authority, PEM')
    .option('--tokens <file>', 'JSON list of tokens; callers then need one')
    .addOption(integer('--watch-ms <ms>', 'time between looks for new versions; 0 is never', 0, large, d.watchMs))
    .addOption(integer('--versions <count>', 'versions of a model kept ready', 1, 1000, d.versionCountMax))
    .addOption(integer('--workers <count>', 'threads that run heavy graphs; 0 is none', 0, 256, d.workerCount))
    .addOption(integer('--threads <count>', 'threads inside one heavy run', 1, 256, d.threadCount))
    .addOption(
      new Option('--device <device>', 'where heavy graphs run')
        .choices(['auto', 'cpu', 'webgpu', 'cuda'])
        .default(d.device),
    )
    .addOption(integer('--max-rows <count>', 'rows of one request', 1, large, d.rowCountMax))
    .addOption(integer('--max-message-bytes <bytes>', 'bytes of one message', 1024, large, d.messageBytesMax))
    .addOption(integer('--max-requests <count>', 'requests in flight', 1, large, d.requestCountMax))
    .addOption(
      integer('--max-streams <count>', 'calls open at once on one connection', 1, large, d.connectionStreamCountMax),
    )
    .addOption(
      integer('--context-cache-mib <MiB>', 'generated policy weights', 0, 1_000_000, d.contextCacheBytesMax / mebibyte),
    )
    .addOption(
      integer('--critic-cache-mib <MiB>', 'generated critic weights', 0, 1_000_000, d.criticCacheBytesMax / mebibyte),
    )
    .addOption(
      integer('--deadline-margin-ms <ms>', 'how long before a deadline to give up', 0, large, d.deadlineMarginMs),
    )
    .addOption(integer('--drain-ms <ms>', 'time for requests in flight on SIGTERM', 0, large, d.drainMs))
    .addOption(
      new Option('--log-level <level>', 'least important message that is logged')
        .choices(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'])
        .default(d.logLevel),
    )
    .action(serve);
}

type ServeOptions = {
  readonly store: string;
  readonly host: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly adminPort?: number;
  readonly httpPort?: number;
  readonly httpOrigin?: string[];
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly tlsClientAuthority?: string;
  readonly tokens?: string;
  readonly watchMs: number;
  readonly versions: number;
  readonly workers: number;
  readonly threads: number;
  readonly device: NonNullable<ServerSettings['device']>;
  readonly maxRows: number;
  readonly maxMessageBytes: number;
  readonly maxRequests: number;
  readonly maxStreams: number;
  readonly contextCacheMib: number;
  readonly criticCacheMib: number;
  readonly deadlineMarginMs: number;
  readonly drainMs: number;
  readonly logLevel: NonNullable<ServerSettings['logLevel']>;
};

async function serve(options: ServeOptions): Promise<void> {
  const { startServer } = await import('../../server/main.ts');
  const server = await startServer({
    store: options.store,
    host: options.host,
    port: options.port,
    metricsPort: options.metricsPort,
    adminPort: options.adminPort ?? null,
    httpPort: options.httpPort ?? null,
    httpOrigins: options.httpOrigin ?? [],
    tlsCertificateFile: options.tlsCertificate ?? null,
    tlsKeyFile: options.tlsKey ?? null,
    tlsClientAuthorityFile: options.tlsClientAuthority ?? null,
    tokensFile: options.tokens ?? null,
    watchMs: options.watchMs,
    versionCountMax: options.versions,
    workerCount: options.workers,
    threadCount: options.threads,
    device: options.device,
    rowCountMax: options.maxRows,
    messageBytesMax: options.maxMessageBytes,
    requestCountMax: options.maxRequests,
    connectionStreamCountMax: options.maxStreams,
    contextCacheBytesMax: options.contextCacheMib * mebibyte,
    criticCacheBytesMax: options.criticCacheMib * mebibyte,
    deadlineMarginMs: options.deadlineMarginMs,
    drainMs: options.drainMs,
    logLevel: options.logLevel,
  });
  await new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  await server.stop();
}
