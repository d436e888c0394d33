/** The flag of every setting of `hyperpolicy serve`: what it is called, what it means, in which unit. What it may be is the setting's. */

import { perProcessSettings, type ServerConfig, typeOf, unbounded } from '../../server/config.ts';
import { type Bounds, boundsOf, choicesOf } from '../../src/contract/settings.ts';

/** The flag that gives a setting. */
export type Flag = {
  readonly flags: string;
  readonly description: string;
  /** What the setting counts in one unit of the flag. */
  readonly unit?: number;
  /** Shown in place of the default where that depends on something. */
  readonly fallback?: string;
};

const mebibyte = 1024 * 1024;

type Flags = { readonly [Name in keyof ServerConfig]: Flag };

/** By heading, in the order of the help. A setting without a flag does not compile. */
const groups = {
  'Models:': {
    store: { flags: '--store <directory>', description: 'where models are published' },
    watchMs: {
      flags: '--watch-ms <ms>',
      description: 'time between scans for new versions; 0: scans only at start and at admin calls',
    },
    versionCountMax: {
      flags: '--versions <count>',
      description: 'versions of a model kept ready, newest first',
    },
  },
  'Ports:': {
    host: {
      flags: '--host <address>',
      description: 'address that every port listens on; 0.0.0.0: all addresses of this machine',
    },
    port: { flags: '--port <port>', description: 'gRPC; 0 picks a free one' },
    metricsPort: {
      flags: '--metrics-port <port>',
      description: 'HTTP /metrics, /healthz, /readyz; 0 picks a free one',
    },
    adminPort: { flags: '--admin-port <port>', description: 'gRPC AdminService', fallback: 'off' },
    httpPort: {
      flags: '--http-port <port>',
      description: 'JSON over HTTP (Connect protocol)',
      fallback: 'off',
    },
    httpPlaintext: {
      flags: '--http-plaintext',
      description: 'no TLS and no client certificates on the HTTP port, even if the gRPC port has them',
      fallback: 'TLS if the gRPC port has it',
    },
    httpOrigins: {
      flags: '--http-origin <origin...>',
      description: 'web origins whose pages may call the HTTP port, e.g. https://lab.example',
      fallback: 'none',
    },
    httpHosts: {
      flags: '--http-host <name...>',
      description:
        "host names that the HTTP and metrics ports accept, beside addresses, localhost and this machine's name",
      fallback: 'none',
    },
  },
  'Access:': {
    tlsCertificateFile: {
      flags: '--tls-certificate <file>',
      description: 'certificate chain, PEM; read again when it changes',
      fallback: 'no TLS',
    },
    tlsKeyFile: {
      flags: '--tls-key <file>',
      description: 'key of the certificate, PEM; give both or neither',
      fallback: 'no TLS',
    },
    tlsClientAuthorityFile: {
      flags: '--tls-client-authority <file>',
      description: 'certificate authority, PEM; clients must have a certificate that it signed',
      fallback: 'none is needed',
    },
    tokensFile: {
      flags: '--tokens <file>',
      description: 'JSON list of tokens with their rates and models; callers must send one',
      fallback: 'none is needed',
    },
    adminOpen: {
      flags: '--admin-open',
      description: 'allow other machines on the admin port without tokens and TLS',
      fallback: 'refused',
    },
  },
  'Compute:': {
    processCount: {
      flags: '--processes <count>',
      description: 'processes that share the gRPC and HTTP ports',
    },
    workerCount: {
      flags: '--workers <count>',
      description:
        'threads that run heavy graphs; with two or more, a run that does not end leaves a thread for others',
      fallback: 'cores per process less one; from 1 to 4',
    },
    threadCount: { flags: '--threads <count>', description: 'threads inside one heavy run' },
    runMsMax: {
      flags: '--max-run-ms <ms>',
      description: 'longest heavy run; a version that takes longer is withdrawn, and its thread replaced',
    },
    loadMsMax: {
      flags: '--max-load-ms <ms>',
      description: 'longest time to open a graph or for a first run; a version that takes longer is refused',
    },
    device: { flags: '--device <device>', description: 'where heavy graphs run' },
    precision: {
      flags: '--precision <precision>',
      description: 'of products on a CUDA device; tf32 is faster and less exact: probes may differ by 5e-3',
    },
    newRows: {
      flags: '--new-rows <way>',
      description:
        'how rows with a new context or state are computed; fused: in one run, weights are kept at the second request; kept: weights are kept at once; auto: the faster way',
    },
    batchRowCountMax: {
      flags: '--max-batch-rows <count>',
      description: 'most rows of one heavy run, which requests share',
    },
    batchDelayMs: {
      flags: '--batch-delay-ms <ms>',
      description: 'how long a heavy run waits for more requests',
    },
    queueRowCountMax: {
      flags: '--max-queue-rows <count>',
      description: 'most rows that wait for one heavy graph',
    },
  },
  'Requests:': {
    requestCountMax: { flags: '--max-requests <count>', description: 'most requests in flight' },
    rowCountMax: { flags: '--max-rows <count>', description: 'most rows of one request' },
    messageBytesMax: {
      flags: '--max-message-bytes <bytes>',
      description: 'largest message, in either direction',
    },
    ascentStepCountMax: {
      flags: '--max-ascent-steps <count>',
      description: 'most steps of one ascent of QGrad',
    },
    heldActionCountMax: {
      flags: '--max-held-actions <count>',
      description: 'most clients whose last action is kept, for the fallback "hold"',
    },
    deadlineMarginMs: {
      flags: '--deadline-margin-ms <ms>',
      description:
        'a request is answered at the latest this time before its deadline, so that the answer arrives in time',
    },
    drainMs: {
      flags: '--drain-ms <ms>',
      description:
        'longest time to finish requests in flight after SIGTERM; the process ends by force 5 s later, with several processes 15 s',
    },
  },
  'Connections:': {
    connectionCountMax: { flags: '--max-connections <count>', description: 'most connections to a gRPC port' },
    httpConnectionCountMax: {
      flags: '--max-http-connections <count>',
      description: 'most connections to the HTTP port',
    },
    connectionStreamCountMax: {
      flags: '--max-streams <count>',
      description: 'most open calls of one connection',
    },
    streamRequestCountMax: {
      flags: '--max-stream-requests <count>',
      description: 'most pending requests of one ActStream; then no more are read',
    },
    connectionIdleMsMax: {
      flags: '--max-connection-idle-ms <ms>',
      description: 'a connection without calls is asked to close after this time; 0: never',
    },
    connectionAgeMsMax: {
      flags: '--max-connection-age-ms <ms>',
      description: 'a connection accepts no new calls after this time; 0: never',
      fallback: '0; 300000 with several processes',
    },
    connectionAgeGraceMs: {
      flags: '--max-connection-age-grace-ms <ms>',
      description: 'time for open calls to end after --max-connection-age-ms, before they are cut; 0: for ever',
    },
    keepaliveMs: {
      flags: '--keepalive-ms <ms>',
      description: 'time between pings to a client; 0: no pings',
    },
    keepaliveTimeoutMs: {
      flags: '--keepalive-timeout-ms <ms>',
      description: 'longest time to answer a ping; then the client is cut',
    },
    pingIntervalMsMin: {
      flags: '--min-ping-interval-ms <ms>',
      description:
        'least time between two pings of a client to which nothing is sent; the third ping too soon ends its connection',
    },
  },
  'Generated weights and context handles:': {
    contextCacheBytesMax: {
      flags: '--context-cache-mib <MiB>',
      description: 'cache of generated policy weights, by context; half may be pinned',
      unit: mebibyte,
    },
    criticCacheBytesMax: {
      flags: '--critic-cache-mib <MiB>',
      description: 'cache of generated critic weights, by observation; half may be pinned',
      unit: mebibyte,
    },
    contextTimeToLiveMs: {
      flags: '--context-ttl-ms <ms>',
      description: 'how long generated weights are used; 0: for ever',
    },
    handleCountMax: {
      flags: '--max-handles <count>',
      description: 'most context handles, over all processes; each process has an equal share',
    },
    handleTimeToLiveMs: {
      flags: '--handle-ttl-ms <ms>',
      description: 'a context handle that was not used for so long expires',
    },
    handleSpoolBytesMax: {
      flags: '--handle-spool-mib <MiB>',
      description:
        'most bytes of handles on the disk, over all processes; the share of one process is the largest size of a context',
      unit: mebibyte,
    },
    handleCacheBytesMax: {
      flags: '--handle-cache-mib <MiB>',
      description: 'cache of handles in memory',
      unit: mebibyte,
    },
    handleDirectory: {
      flags: '--handle-directory <directory>',
      description: 'where the private directory of the handles is made',
      fallback: "the system's temporary directory",
    },
  },
  'Logs and traces:': {
    logLevel: {
      flags: '--log-level <level>',
      description: 'lowest level that is logged',
    },
    requestLogEvery: {
      flags: '--log-requests <every>',
      description: 'log one of every N requests, and each that fails with INTERNAL; 0: none',
    },
    traceEndpoint: {
      flags: '--trace-endpoint <url>',
      description: 'OTLP over HTTP, e.g. http://127.0.0.1:4318/v1/traces; needs the optional packages',
      fallback: 'off',
    },
    traceRatio: {
      flags: '--trace-ratio <ratio>',
      description: 'share of requests that are traced, if the client does not decide',
    },
    traceQueueCountMax: {
      flags: '--max-trace-spans <count>',
      description: 'most spans that wait to be sent; further ones are dropped',
    },
  },
} satisfies Readonly<Record<string, Partial<Flags>>>;

/** Every setting with its flag and its heading, in the order of the help. */
export const settingFlags: readonly {
  readonly setting: keyof ServerConfig;
  readonly flag: Flag;
  readonly heading: string;
}[] = Object.entries(groups).flatMap(([heading, flags]) =>
  Object.entries(flags).map(([setting, flag]) => ({ setting: setting as keyof ServerConfig, flag, heading })),
);

type Grouped = { [Heading in keyof typeof groups]: keyof (typeof groups)[Heading] }[keyof typeof groups];
/** Fails to compile where a setting has no flag. */
const missing: Record<Exclude<keyof ServerConfig, Grouped>, never> = {};
void missing;

/** Of the flag, in its unit: of a setting in bytes that is given in MiB, whole ones. */
export function flagBounds(setting: keyof ServerConfig, { unit = 1 }: Flag): Bounds | undefined {
  const bounds = boundsOf(typeOf(setting));
  return bounds && { ...bounds, low: Math.ceil(bounds.low / unit), high: Math.floor(bounds.high / unit) };
}

/** What the help says of a flag: meaning, whose limit it is, what it may be, and its default. */
export function helpOf(setting: keyof ServerConfig, flag: Flag, value: unknown): string {
  const { description, unit = 1, fallback } = flag;
  const shown = fallback ?? String(typeof value === 'number' ? value / unit : value);
  const about = [`default: ${shown}`];
  const bounds = flagBounds(setting, flag);
  const choices = choicesOf(typeOf(setting));
  if (choices !== undefined) about.unshift(choices.join(', '));
  else if (bounds !== undefined) {
    about.unshift(bounds.high === unbounded ? `${bounds.low} or more` : `${bounds.low} to ${bounds.high}`);
  }
  if ((perProcessSettings as readonly string[]).includes(setting)) about.unshift('per process');
  return `${description} (${about.join('; ')})`;
}
