/**
 * Every setting of the server in one validated object: names, defaults and bounds, the same for flags, variables, JSON and code. The
 * meaning of each is the help of its flag, clients/cli/serve-flags.ts; comments here add what the help leaves out.
 */

import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { failedPrecondition, invalidArgument } from '../src/contract/errors.ts';
import { isLoopback } from '../src/contract/known-hosts.ts';
import { integer, numberFrom, oneOf, text, webOrigin, yesOrNo } from '../src/contract/settings.ts';
import { precisionNames } from '../src/onnx/precision.ts';
import { deviceNames } from '../src/onnx/providers.ts';
import { httpUrl, isHttpUrl } from '../src/tracing/trace-settings.ts';

/** As in package.json. */
export const serverVersion = '0.1.0';

const mebibyte = 1024 * 1024;
/** In practice no bound, for counts and for MiB. */
export const unbounded = 2 ** 31 - 1;
/** Eleven days. Node's timers fire at once if they are set to more than 24 days, and some add to a setting. */
const durationMsMax = 1_000_000_000;
const someTextError = { error: 'a text that is not empty' };
const someText = text(someTextError.error);
const listError = { error: 'a list of texts' };
const texts = <T extends z.ZodType>(each: T) => z.array(each, listError);
const port = integer(0, 65535);
const count = integer(1, unbounded);
const bytes = integer(0, unbounded * mebibyte);
const milliseconds = integer(0, durationMsMax);
const someMilliseconds = integer(1, durationMsMax);

/** One core of each process is for requests. More than four workers must be set explicitly, since each loads every graph. */
const defaultWorkerCount = (processCount: number): number =>
  Math.max(1, Math.min(4, Math.floor(availableParallelism() / processCount) - 1));

/** With several processes, connections end after a time, so that long-lived clients also reach replaced processes. */
const defaultConnectionAgeMsMax = (processCount: number): number => (processCount === 1 ? 0 : 300_000);

const serverConfigSchema = z.strictObject({
  /** Packages are `<store>/<model>/<version>/`. */
  store: someText.default('.hyperpolicy/store'),
  host: someText.default('127.0.0.1'),
  port: port.default(50051),
  metricsPort: port.default(9464),
  /** Null is off. */
  adminPort: port.nullable().default(null),
  /** JSON over HTTP (the Connect protocol); null is off. It has TLS if the gRPC port has it. */
  httpPort: port.nullable().default(null),
  httpPlaintext: yesOrNo().default(false),
  /** Kept as browsers write them. */
  httpOrigins: texts(webOrigin(listError.error)).default([]),
  /** Names of this server, beside addresses, `host` and the machine's own, on the HTTP and the metrics port. */
  httpHosts: texts(text(listError.error)).default([]),
  httpConnectionCountMax: count.default(256),
  tlsCertificateFile: someText.nullable().default(null),
  tlsKeyFile: someText.nullable().default(null),
  /** PEM. If given, clients need a certificate, on every port that takes requests. */
  tlsClientAuthorityFile: someText.nullable().default(null),
  /** JSON list; if given, callers need a token. See access/tokens.ts. */
  tokensFile: someText.nullable().default(null),
  adminOpen: yesOrNo().default(false),
  /**
   * Limits among `perProcessSettings` are those of each process. Limits of handles and rates of tokens are those of the server. All
   * others are those of one request, connection or stream.
   */
  processCount: integer(1, 64).default(1),
  /** Interval of scans of the store. With 0 it is scanned at the start, at admin calls, and when a process is replaced. */
  watchMs: milliseconds.default(2000),
  versionCountMax: count.default(2),
  /**
   * Threads that run heavy graphs: primaries and plain critics. At least one: a run cannot be ended, so it is never where requests are answered.
   */
  workerCount: integer(1, 256).default(defaultWorkerCount(1)),
  /**
   * How long one run of a heavy graph may take, and one step of loading (opening a graph, a first run). Nobody can end a run: a thread that
   * takes longer is given up, another takes its place, and the version is withdrawn.
   */
  runMsMax: someMilliseconds.default(10_000),
  loadMsMax: someMilliseconds.default(60_000),
  /** Threads inside one run of a heavy graph. */
  threadCount: integer(1, 256).default(1),
  /** Device of heavy graphs; `auto` is CUDA if its provider is installed, and the CPU for versions that CUDA refuses. */
  device: oneOf(deviceNames).default('auto'),
  /** Products on a CUDA device; `tf32` is faster, and outputs differ by about 3e-4. */
  precision: oneOf(precisionNames).default('float32'),
  /** How rows are answered whose context, or for a critic observation, is new: models/fused-network.ts. */
  newRows: oneOf(['auto', 'fused', 'kept']).default('auto'),
  rowCountMax: count.default(4096),
  /**
   * Most rows of a run that requests share. A larger request runs alone; it is split if it has four times as many rows and one run would
   * take long. More rows per run gain little, and the next run should fill meanwhile.
   */
  batchRowCountMax: count.default(32),
  /** How long a request waits for others to share its run, while a thread is free and the run is not full; 0 is not at all. */
  batchDelayMs: numberFrom(0, 10_000).default(0),
  queueRowCountMax: count.default(16_384),
  messageBytesMax: integer(1024, unbounded).default(4 * mebibyte),
  requestCountMax: count.default(1024),
  /** On the gRPC port, and as many on the admin port. */
  connectionCountMax: count.default(1024),
  connectionIdleMsMax: milliseconds.default(0),
  /** After this time, plus or minus a tenth, a connection is asked to leave; its calls go on. 0 is never; with several processes 300,000. */
  connectionAgeMsMax: milliseconds.default(defaultConnectionAgeMsMax(1)),
  /** Time that the calls of such a connection have before they are cut; 0 is no limit. */
  connectionAgeGraceMs: milliseconds.default(0),
  keepaliveMs: milliseconds.default(60_000),
  keepaliveTimeoutMs: someMilliseconds.default(20_000),
  /** Least time between a client's pings while nothing is sent to it. The third ping that comes sooner ends its connection. */
  pingIntervalMsMin: milliseconds.default(100),
  connectionStreamCountMax: count.default(1024),
  streamRequestCountMax: count.default(256),
  /** Generated policy weights, by context. */
  contextCacheBytesMax: bytes.default(256 * mebibyte),
  /** Generated critic weights, by observation. */
  criticCacheBytesMax: bytes.default(256 * mebibyte),
  contextTimeToLiveMs: milliseconds.default(0),
  handleTimeToLiveMs: someMilliseconds.default(600_000),
  handleCountMax: count.default(10_000),
  handleSpoolBytesMax: integer(1, unbounded * mebibyte).default(256 * mebibyte),
  handleCacheBytesMax: bytes.default(64 * mebibyte),
  /** Null is the system's temporary directory. */
  handleDirectory: someText.nullable().default(null),
  ascentStepCountMax: count.default(1000),
  heldActionCountMax: count.default(4096),
  /** How long before a client's deadline a late answer is given up, so that the error arrives in time. */
  deadlineMarginMs: milliseconds.default(10),
  drainMs: milliseconds.default(10_000),
  /** Logs one request in this many, and each that fails with INTERNAL; 0 logs none. */
  requestLogEvery: integer(0, unbounded).default(0),
  traceEndpoint: z.string(someTextError).refine(isHttpUrl, httpUrl).nullable().default(null),
  /** Share of requests that are traced if the client's `traceparent` does not say. */
  traceRatio: numberFrom(0, 1).default(1),
  traceQueueCountMax: count.default(2048),
  logLevel: oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

/** Limits of each process: a server of N processes has N times as much. */
export const perProcessSettings = [
  'workerCount',
  'queueRowCountMax',
  'requestCountMax',
  'connectionCountMax',
  'httpConnectionCountMax',
  'contextCacheBytesMax',
  'criticCacheBytesMax',
  'handleCacheBytesMax',
  'heldActionCountMax',
  'traceQueueCountMax',
] as const satisfies readonly (keyof ServerConfig)[];

export type ServerConfig = Readonly<z.infer<typeof serverConfigSchema>>;

/** Threads in runs that do not end, with which nothing more is loaded: one graph may hold all workers, some more one each. */
export const stuckThreadCountMax = ({ workerCount }: ServerConfig): number => workerCount + 8;

/** Any subset of the settings; the rest are defaults. */
export type ServerSettings = z.input<typeof serverConfigSchema>;

/** Defaults that depend on other settings. */
function defaultsOf({ processCount = 1 }: ServerSettings): ServerSettings {
  if (!Number.isInteger(processCount) || processCount < 1) return {};
  return {
    workerCount: defaultWorkerCount(processCount),
    connectionAgeMsMax: defaultConnectionAgeMsMax(processCount),
  };
}

/**
 * Checks settings and fills in defaults.
 * @throws HyperpolicyError invalid_argument with the first wrong setting; failed_precondition if other machines could reach the admin
 *   port and no setting allows that
 */
export function parseServerConfig(settings: ServerSettings): ServerConfig {
  const parsed = serverConfigSchema.safeParse({ ...defaultsOf(settings), ...settings });
  if (!parsed.success) throw refusalOf(parsed.error.issues[0]!, settings);
  checkExposure(parsed.data);
  return parsed.data;
}

/** Everybody who reaches the admin port can change what is served. */
function checkExposure({ host, adminPort, adminOpen, tokensFile, tlsCertificateFile }: ServerConfig): void {
  if (adminPort === null || adminOpen || isLoopback(host)) return;
  if (tokensFile !== null || tlsCertificateFile !== null) return;
  throw failedPrecondition({
    where: 'admin port',
    expected: 'tokens or TLS where other machines reach it',
    actual: `host ${JSON.stringify(host)} and neither`,
    remedy: 'Set --tokens, or --tls-certificate and --tls-key; --admin-open lets everybody in',
  });
}

function refusalOf(issue: z.core.$ZodIssue, settings: ServerSettings): Error {
  if (issue.code === 'unrecognized_keys') {
    return invalidArgument({
      where: 'server settings',
      expected: `settings among ${settingNames.join(', ')}`,
      actual: issue.keys.map((key) => JSON.stringify(key)).join(', '),
    });
  }
  const [name, ...inside] = issue.path as [keyof ServerConfig, ...PropertyKey[]];
  const isNullable = serverConfigSchema.shape[name].unwrap() instanceof z.ZodNullable;
  const value = inside.reduce<unknown>((from, key) => (from as Record<PropertyKey, unknown>)[key], settings[name]);
  return invalidArgument({
    where: `server settings ${issue.path.join('.')}`,
    expected: issue.code === 'custom' || !isNullable ? issue.message : `${issue.message}, or null`,
    // JSON can show neither NaN nor undefined.
    actual: typeof value === 'number' || value === undefined ? String(value) : JSON.stringify(value),
  });
}

const settingNames = Object.keys(serverConfigSchema.shape) as (keyof ServerConfig)[];

/** The type of a setting, without its default and without null. */
export function typeOf(name: keyof ServerConfig): z.ZodType {
  const type: z.ZodType = serverConfigSchema.shape[name].unwrap();
  return type instanceof z.ZodNullable ? (type.unwrap() as z.ZodType) : type;
}

export const serverDefaults: ServerConfig = serverConfigSchema.parse({});
