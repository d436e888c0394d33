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
      description: 'time between looks for new versions; 0 looks only at start and at admin calls',
    },
    versionCountMax: {
      flags: '--versions <count>',
      description: 'versions of a model kept ready, newest first',
    },
  },
  'Ports:': {
    host: {
      flags: '--host <address>',
      description: 'address that every port listens on; 0.0.0.0 is every one of this machine',
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
      description: 'the HTTP port stays without TLS and client certificates although the gRPC port has them',
      fallback: 'with TLS where the gRPC port has it',
    },
    httpOrigins: {
      flags: '--http-origin <origin...>',
      description: 'web origins whose pages may call the HTTP port, e.g. https://lab.example',
      fallback: 'none',
    },
    httpHosts: {
      flags: '--http-host <name...>',
      description:
        "names, beside addresses, localhost and this machine's own, under which others ask the HTTP and metrics ports",
      fallback: 'none',
    },
  },
  'Access:': {
    tlsCertificateFile: {
      flags: '--tls-certificate <file>',
      description: 'certificate chain, PEM; read again when it changes',
      fallback: 'no TLS',
    },
    tlsKeyFile: { flags: '--tls-key <file>', description: 'its key, PEM; both or neither', fallback: 'no TLS' },
    tlsClientAuthorityFile: {
      flags: '--tls-client-authority <file>',
      description: 'PEM; clients then need a certificate that it signed',
      fallback: 'clients need none',
    },
    tokensFile: {
      flags: '--tokens <file>',
      description: 'JSON list of tokens, with their rates and models; callers then need one',
      fallback: 'callers need none',
    },
    adminOpen: {
      flags: '--admin-open',
      description: 'the admin port may be reached from other machines without tokens and TLS',
      fallback: 'that is refused',
    },
  },
  'Compute:': {
    processCount: {
      flags: '--processes <count>',
      description: 'processes that share the gRPC and HTTP ports',
    },
    workerCount: {
      flags: '--workers <count>',
      description: 'threads that run heavy graphs; with two, a run that does not end leaves one for the others',
      fallback: 'cores of a process but one, at most 4',
    },
    threadCount: { flags: '--threads <count>', description: 'threads inside one heavy run' },
    runMsMax: {
      flags: '--max-run-ms <ms>',
      description: 'one heavy run; a version that takes longer is withdrawn, and its thread replaced',
    },
    loadMsMax: {
      flags: '--max-load-ms <ms>',
      description: 'opening a graph, or a first run; a version that takes longer is refused',
    },
    device: { flags: '--device <device>', description: 'where heavy graphs run' },
    precision: {
      flags: '--precision <precision>',
      description: 'products on a CUDA device; tf32 is faster and less exact, and probes may differ by 5e-3 then',
    },
    newRows: {
      flags: '--new-rows <way>',
      description:
        'rows whose context or state is new: fused computes them in one run and keeps weights when asked again, kept keeps them at once, auto takes what is faster',
    },
    batchRowCountMax: {
      flags: '--max-batch-rows <count>',
      description: 'rows that requests share in one heavy run',
    },
    batchDelayMs: {
      flags: '--batch-delay-ms <ms>',
      description: 'how long a heavy run waits for more requests',
    },
    queueRowCountMax: {
      flags: '--max-queue-rows <count>',
      description: 'rows that wait for one heavy graph',
    },
  },
  'Requests:': {
    requestCountMax: { flags: '--max-requests <count>', description: 'requests in flight' },
    rowCountMax: { flags: '--max-rows <count>', description: 'rows of one request' },
    messageBytesMax: {
      flags: '--max-message-bytes <bytes>',
      description: 'one message, either way',
    },
    ascentStepCountMax: {
      flags: '--max-ascent-steps <count>',
      description: 'steps of one ascent of QGrad',
    },
    heldActionCountMax: {
      flags: '--max-held-actions <count>',
      description: 'clients whose last action is kept for the fallback "hold"',
    },
    deadlineMarginMs: {
      flags: '--deadline-margin-ms <ms>',
      description: 'how long before its deadline a request is given up, so that the answer is in time',
    },
    drainMs: { flags: '--drain-ms <ms>', description: 'time for requests in flight on SIGTERM' },
  },
  'Connections:': {
    connectionCountMax: { flags: '--max-connections <count>', description: 'open on a gRPC port' },
    httpConnectionCountMax: {
      flags: '--max-http-connections <count>',
      description: 'open on the HTTP port',
    },
    connectionStreamCountMax: {
      flags: '--max-streams <count>',
      description: 'calls open on one connection',
    },
    streamRequestCountMax: {
      flags: '--max-stream-requests <count>',
      description: 'requests pending on one ActStream before it is slowed down',
    },
    connectionIdleMsMax: {
      flags: '--max-connection-idle-ms <ms>',
      description: 'a connection without calls is asked to leave after it; 0 is never',
    },
    connectionAgeMsMax: {
      flags: '--max-connection-age-ms <ms>',
      description: 'a connection takes no more calls after it; 0 is never',
      fallback: '0; 300000 with several processes',
    },
    connectionAgeGraceMs: {
      flags: '--max-connection-age-grace-ms <ms>',
      description: 'its last calls are cut so long after that; 0 is never',
    },
    keepaliveMs: {
      flags: '--keepalive-ms <ms>',
      description: 'time between pings to a client; 0 is none',
    },
    keepaliveTimeoutMs: {
      flags: '--keepalive-timeout-ms <ms>',
      description: 'a client that answers none for so long is cut',
    },
    pingIntervalMsMin: {
      flags: '--min-ping-interval-ms <ms>',
      description: 'a client that pings more often while nothing is sent to it is cut',
    },
  },
  'Generated weights and context handles:': {
    contextCacheBytesMax: {
      flags: '--context-cache-mib <MiB>',
      description: 'generated policy weights kept, by context; half may be pinned',
      unit: mebibyte,
    },
    criticCacheBytesMax: {
      flags: '--critic-cache-mib <MiB>',
      description: 'generated critic weights kept, by observation; half may be pinned',
      unit: mebibyte,
    },
    contextTimeToLiveMs: {
      flags: '--context-ttl-ms <ms>',
      description: 'how long generated weights are used; 0 is for ever',
    },
    handleCountMax: {
      flags: '--max-handles <count>',
      description: 'contexts held for clients, over all processes; each has its part',
    },
    handleTimeToLiveMs: {
      flags: '--handle-ttl-ms <ms>',
      description: 'how long a context handle is kept without use',
    },
    handleSpoolBytesMax: {
      flags: '--handle-spool-mib <MiB>',
      description: 'their bytes on the disk, over all processes; the part of one bounds a context',
      unit: mebibyte,
    },
    handleCacheBytesMax: {
      flags: '--handle-cache-mib <MiB>',
      description: 'their bytes in memory',
      unit: mebibyte,
    },
    handleDirectory: {
      flags: '--handle-directory <directory>',
      description: 'where their private directory is made',
      fallback: "the system's temporary directory",
    },
  },
  'Logs and traces:': {
    logLevel: {
      flags: '--log-level <level>',
      description: 'least important message that is logged',
    },
    requestLogEvery: {
      flags: '--log-requests <every>',
      description: 'log one of so many requests, and each that fails with INTERNAL; 0 is none',
    },
    traceEndpoint: {
      flags: '--trace-endpoint <url>',
      description: 'OTLP over HTTP, e.g. http://127.0.0.1:4318/v1/traces; needs the optional packages',
      fallback: 'off',
    },
    traceRatio: {
      flags: '--trace-ratio <ratio>',
      description: 'share of requests traced where the client does not say',
    },
    traceQueueCountMax: {
      flags: '--max-trace-spans <count>',
      description: 'spans that wait to be sent; others are dropped',
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
