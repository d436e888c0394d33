/**
 * Every setting of the server in one validated object: names, defaults and bounds, the same wherever a setting comes from (flag,
 * variable, JSON, code). Rules over several settings are in exposure.ts; where settings come from is main.ts and the command line.
 */

import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { invalidArgument } from '../src/contract/errors.ts';
import { precisionNames } from '../src/onnx/precision.ts';
import { deviceNames } from '../src/onnx/providers.ts';
import { checkExposure, webOrigin } from './exposure.ts';

const mebibyte = 1024 * 1024;
/** As good as no bound: of counts, and of bytes in MiB. */
export const unbounded = 2 ** 31 - 1;
/** Eleven days. Timers take 24 at most and fire at once beyond them; some add to a setting. */
const durationMsMax = 1_000_000_000;
const integer = (low: number, high: number) => z.number().int().min(low).max(high);
const port = integer(0, 65535);
const count = integer(1, unbounded);
const bytes = integer(0, unbounded * mebibyte);
const milliseconds = integer(0, durationMsMax);
const someMilliseconds = integer(1, durationMsMax);

/** One core of a process is left to requests; more than four workers are asked for, as each holds every graph. */
const defaultWorkerCount = (processCount: number): number =>
  Math.max(1, Math.min(4, Math.floor(availableParallelism() / processCount) - 1));

/** With several processes connections end after a time, so that long-lived clients spread to processes that were replaced. */
const defaultConnectionAgeMsMax = (processCount: number): number => (processCount === 1 ? 0 : 300_000);

const serverConfigSchema = z.strictObject({
  /** Directory of published models: `<store>/<model>/<version>/`. */
  store: z.string().min(1).default('.hyperpolicy/store'),
  /** Address that every port listens on. Loopback unless told otherwise. */
  host: z.string().min(1).default('127.0.0.1'),
  /** gRPC; 0 picks a free port. */
  port: port.default(50051),
  /** HTTP `/metrics`, `/healthz` and `/readyz`; 0 picks a free port. */
  metricsPort: port.default(9464),
  /** gRPC AdminService; null is off, 0 picks a free port. */
  adminPort: port.nullable().default(null),
  /** JSON over HTTP (the Connect protocol); null is off, 0 picks a free port. With TLS where the gRPC port has it. */
  httpPort: port.nullable().default(null),
  /** The HTTP port stays without TLS, and without client certificates, although the gRPC port has them. */
  httpPlaintext: z.boolean().default(false),
  /** Web origins whose pages may call the HTTP port, for example `https://lab.example`; kept as browsers write them. */
  httpOrigins: z.array(z.string().transform(webOrigin)).default([]),
  /** Names, beside addresses, `host` and this machine's own, under which others ask the HTTP and the metrics port. */
  httpHosts: z.array(z.string().min(1)).default([]),
  httpConnectionCountMax: count.default(256),
  /** Certificate chain and key of this server, PEM; both or neither. Read again when they change. */
  tlsCertificateFile: z.string().min(1).nullable().default(null),
  tlsKeyFile: z.string().min(1).nullable().default(null),
  /** Authorities of client certificates, PEM: where given, clients need one, on every port that takes requests. */
  tlsClientAuthorityFile: z.string().min(1).nullable().default(null),
  /** JSON list of tokens; where given, callers need one. See tokens.ts. */
  tokensFile: z.string().min(1).nullable().default(null),
  /** The admin port may be reached from other machines without tokens and without TLS. */
  adminOpen: z.boolean().default(false),
  /**
   * Processes that share the gRPC and the HTTP port. Limits among `perProcessSettings` are each process's own; those of handles and the
   * rates of tokens are the server's; all others are of one request, connection or stream.
   */
  processCount: integer(1, 64).default(1),
  /** How often the store is looked through for new versions; 0 is only at start, at a call of the admin, and when a process is replaced. */
  watchMs: milliseconds.default(2000),
  /** Versions of a model that are kept ready, newest first. */
  versionCountMax: count.default(2),
  /**
   * Threads that run heavy graphs: primaries and plain critics. 0 runs them where the request is, which then all wait; graphs whose work
   * is not known beforehand are refused then.
   */
  workerCount: integer(0, 256).default(defaultWorkerCount(1)),
  /**
   * How long one run of a heavy graph may take, and one step of loading (opening a graph, a first run). Nobody can end a run: a thread that
   * takes longer is given up, another takes its place, and the version is withdrawn.
   */
  runMsMax: someMilliseconds.default(10_000),
  loadMsMax: someMilliseconds.default(60_000),
  /** Threads inside one run of a heavy graph. */
  threadCount: integer(1, 256).default(1),
  /** Where heavy graphs run; `auto` is a CUDA device where there is one, else the CPU. */
  device: z.enum(deviceNames).default('auto'),
  /** How a CUDA device multiplies; `tf32` is faster, and outputs differ by some 3e-4. */
  precision: z.enum(precisionNames).default('float32'),
  /** Rows of one request. */
  rowCountMax: count.default(4096),
  /**
   * Rows of one run of a heavy graph: what requests that wait together may share; a request with more runs alone, and takes several
   * runs where it has four times as many and one would be long. More rows than these gain little per row, and while a run is under way
   * the next one should be filling.
   */
  batchRowCountMax: count.default(32),
  /** How long a request waits for others to share a run of a heavy graph, where a thread is free and the run is not full; 0 is not at all. */
  batchDelayMs: z.number().min(0).max(10_000).default(0),
  /** Rows that may wait for one heavy graph. */
  queueRowCountMax: count.default(16_384),
  /** Bytes of one message, either way. */
  messageBytesMax: integer(1024, unbounded).default(4 * mebibyte),
  /** Requests that are being answered at once, over all connections. */
  requestCountMax: count.default(1024),
  /** Connections open at once on the gRPC port, and as many on the admin port. */
  connectionCountMax: count.default(1024),
  /** Time after which a connection without calls is asked to leave; 0 is never. */
  connectionIdleMsMax: milliseconds.default(0),
  /** Time after which a connection is asked to leave, give or take a tenth. Its calls go on. 0 is never; with several processes 300,000. */
  connectionAgeMsMax: milliseconds.default(defaultConnectionAgeMsMax(1)),
  /** Time that the calls of such a connection then have before they are cut; 0 is no limit. */
  connectionAgeGraceMs: milliseconds.default(0),
  /** Time between pings to a client; 0 is none. */
  keepaliveMs: milliseconds.default(60_000),
  /** Time within which a client must answer a ping; else its connection is cut. */
  keepaliveTimeoutMs: someMilliseconds.default(20_000),
  /** Least time between a client's pings while nothing is sent to it. The third ping that comes sooner ends its connection. */
  pingIntervalMsMin: milliseconds.default(100),
  /** Streams (calls) open at once on one connection. */
  connectionStreamCountMax: count.default(1024),
  /** Requests of one ActStream that may be pending before it is slowed down. */
  streamRequestCountMax: count.default(256),
  /** Generated policy weights kept, by context. */
  contextCacheBytesMax: bytes.default(256 * mebibyte),
  /** Generated critic weights kept, by observation. */
  criticCacheBytesMax: bytes.default(256 * mebibyte),
  /** How long generated weights are used after they were made; 0 is no limit. */
  contextTimeToLiveMs: milliseconds.default(0),
  /** How long a context handle is kept without use. */
  handleTimeToLiveMs: someMilliseconds.default(600_000),
  /** Contexts held for clients, and their bytes on the disk. */
  handleCountMax: count.default(10_000),
  handleSpoolBytesMax: integer(1, unbounded * mebibyte).default(256 * mebibyte),
  /** Those used lately, in memory. */
  handleCacheBytesMax: bytes.default(64 * mebibyte),
  /** Where the private directory for them is made; null is the system's temporary directory. */
  handleDirectory: z.string().min(1).nullable().default(null),
  /** Steps of one ascent. */
  ascentStepCountMax: count.default(1000),
  /** Clients whose last action is kept for the `hold` fallback. */
  heldActionCountMax: count.default(4096),
  /** How long before a client's deadline an answer that is not there is given up, so that the refusal arrives in time. */
  deadlineMarginMs: milliseconds.default(10),
  /** On SIGTERM: time for requests in flight before connections are cut. */
  drainMs: milliseconds.default(10_000),
  /** Logs one request in this many, and each that fails with INTERNAL; 0 logs none. */
  requestLogEvery: integer(0, unbounded).default(0),
  /** Where traces go: OTLP over HTTP, for example `http://127.0.0.1:4318/v1/traces`; null is off. */
  traceEndpoint: z.url().nullable().default(null),
  /** Share of requests that are traced where the client's `traceparent` does not say, 0 to 1. */
  traceRatio: z.number().min(0).max(1).default(1),
  /** Spans that may wait to be sent; those over it are dropped. */
  traceQueueCountMax: count.default(2048),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

/** Limits that each of several processes has for itself: the server has as many times as much. */
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
/** What a caller gives: any subset; the rest are defaults. */
export type ServerSettings = z.input<typeof serverConfigSchema>;

/** Those that depend on other settings. */
function defaultsOf({ processCount = 1 }: ServerSettings): ServerSettings {
  if (!Number.isInteger(processCount) || processCount < 1) return {};
  return {
    workerCount: defaultWorkerCount(processCount),
    connectionAgeMsMax: defaultConnectionAgeMsMax(processCount),
  };
}

/**
 * Checks settings and fills in defaults.
 * @throws HyperpolicyError invalid_argument naming the first setting that is wrong; failed_precondition as checkExposure
 */
export function parseServerConfig(settings: ServerSettings): ServerConfig {
  const parsed = serverConfigSchema.safeParse({ ...defaultsOf(settings), ...settings });
  if (!parsed.success) throw refusalOf(parsed.error.issues[0]!, settings);
  checkExposure(parsed.data);
  return parsed.data;
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
  const value = inside.reduce<unknown>((from, key) => (from as Record<PropertyKey, unknown>)[key], settings[name]);
  return invalidArgument({
    where: `server settings ${issue.path.join('.')}`,
    expected: issue.code === 'custom' ? issue.message : expectedOf(name),
    // JSON has neither.
    actual: typeof value === 'number' || value === undefined ? String(value) : JSON.stringify(value),
  });
}

const settingNames = Object.keys(serverConfigSchema.shape) as (keyof ServerConfig)[];

/** Of a setting that is a number: both ends are included. */
export type Bounds = { readonly low: number; readonly high: number; readonly isInteger: boolean };

/** Undefined where the setting is no number. */
export function boundsOf(name: keyof ServerConfig): Bounds | undefined {
  const type = typeOf(name);
  if (!(type instanceof z.ZodNumber)) return undefined;
  return { low: type.minValue!, high: type.maxValue!, isInteger: type.format === 'safeint' };
}

/** The words that a setting may be; undefined where it is none of a list. */
export function choicesOf(name: keyof ServerConfig): readonly string[] | undefined {
  const type = typeOf(name);
  return type instanceof z.ZodEnum ? (type.options as string[]) : undefined;
}

/** What a setting may be, as a noun phrase. */
function expectedOf(name: keyof ServerConfig): string {
  const bounds = boundsOf(name);
  const choices = choicesOf(name);
  const nothing = serverConfigSchema.shape[name].unwrap() instanceof z.ZodNullable ? ', or null' : '';
  if (bounds !== undefined) {
    return `${bounds.isInteger ? 'an integer' : 'a number'} from ${bounds.low} to ${bounds.high}${nothing}`;
  }
  if (choices !== undefined) return `one of ${choices.join(', ')}`;
  const type = typeOf(name);
  if (type instanceof z.ZodBoolean) return 'true or false';
  return `${type instanceof z.ZodArray ? 'a list of texts' : 'a text that is not empty'}${nothing}`;
}

/** What a setting is, without its default and without null. */
function typeOf(name: keyof ServerConfig): unknown {
  const type: unknown = serverConfigSchema.shape[name].unwrap();
  return type instanceof z.ZodNullable ? type.unwrap() : type;
}

export const serverDefaults: ServerConfig = serverConfigSchema.parse({});
