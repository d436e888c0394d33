/**
 * `hyperpolicy serve`: runs the server, in this process or as the parent of several, until SIGTERM or SIGINT, then drains.
 *
 * A setting comes from its flag, else from its variable (`HYPERPOLICY_` and the flag's name), else from the file of `--config`, else
 * it is the default.
 */

import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { parseServerConfig, type ServerConfig, type ServerSettings, serverDefaults } from '../../server/config.ts';
import { deviceNames } from '../../src/onnx/providers.ts';
import { invalidArgument } from '../../src/spec/errors.ts';
import { integerIn, numberIn } from './options.ts';

/** The flag that gives a setting. */
type Flag = {
  readonly flags: string;
  readonly description: string;
  /** What the setting counts in one unit of the flag. */
  readonly unit?: number;
  readonly read?: (text: string) => number;
  readonly choices?: readonly string[];
};

const mebibyte = 1024 * 1024;
const large = 2 ** 31 - 1;
const port = integerIn(0, 65535);
const count = integerIn(1, large);
const amount = integerIn(0, large);

const levels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'];

/** The flag of every setting: one that lacks does not compile. */
const flags: Readonly<Record<keyof ServerConfig, Flag>> = {
  store: { flags: '--store <directory>', description: 'published models' },
  host: { flags: '--host <address>', description: 'address to listen on, for every port' },
  port: { flags: '--port <port>', description: 'gRPC; 0 picks a free one', read: port },
  metricsPort: {
    flags: '--metrics-port <port>',
    description: 'HTTP /metrics, /healthz, /readyz',
    read: port,
  },
  adminPort: {
    flags: '--admin-port <port>',
    description: 'gRPC AdminService; off unless given',
    read: port,
  },
  httpPort: { flags: '--http-port <port>', description: 'JSON over HTTP; off unless given', read: port },
  httpOrigins: {
    flags: '--http-origin <origin...>',
    description: 'web origins that may call the HTTP port',
  },
  httpConnectionCountMax: {
    flags: '--max-http-connections <count>',
    description: 'on the HTTP port',
    read: count,
  },
  tlsCertificateFile: { flags: '--tls-certificate <file>', description: 'certificate chain, PEM; reread' },
  tlsKeyFile: { flags: '--tls-key <file>', description: 'its key, PEM' },
  tlsClientAuthorityFile: {
    flags: '--tls-client-authority <file>',
    description: 'ask clients for certificates of it',
  },
  tokensFile: { flags: '--tokens <file>', description: 'JSON list of tokens; callers then need one' },
  processCount: {
    flags: '--processes <count>',
    description: 'processes that share the gRPC and HTTP ports',
    read: integerIn(1, 64),
  },
  watchMs: {
    flags: '--watch-ms <ms>',
    description: 'time between looks for new versions; 0 looks only at start and at admin calls',
    read: amount,
  },
  versionCountMax: {
    flags: '--versions <count>',
    description: 'versions of a model kept ready',
    read: count,
  },
  workerCount: {
    flags: '--workers <count>',
    description: 'threads of a process that run heavy graphs; 0 is none',
    read: integerIn(0, 256),
  },
  threadCount: {
    flags: '--threads <count>',
    description: 'threads inside one heavy run',
    read: integerIn(1, 256),
  },
  device: { flags: '--device <device>', description: 'where heavy graphs run', choices: deviceNames },
  rowCountMax: { flags: '--max-rows <count>', description: 'rows of one request', read: count },
  batchRowCountMax: { flags: '--max-batch-rows <count>', description: 'rows of one heavy run', read: count },
  batchDelayMs: {
    flags: '--batch-delay-ms <ms>',
    description: 'how long a heavy run waits for more requests',
    read: numberIn(0, 10_000),
  },
  queueRowCountMax: {
    flags: '--max-queue-rows <count>',
    description: 'rows that wait for one heavy graph',
    read: count,
  },
  messageBytesMax: {
    flags: '--max-message-bytes <bytes>',
    description: 'bytes of one message',
    read: integerIn(1024, large),
  },
  requestCountMax: { flags: '--max-requests <count>', description: 'requests in flight', read: count },
  connectionCountMax: {
    flags: '--max-connections <count>',
    description: 'connections open on the gRPC port',
    read: count,
  },
  connectionIdleMsMax: {
    flags: '--max-connection-idle-ms <ms>',
    description: 'a connection without calls leaves after it; 0 is never',
    read: amount,
  },
  connectionAgeMsMax: {
    flags: '--max-connection-age-ms <ms>',
    description: 'a connection takes no more calls after it; 0 is never; 300000 with several processes',
    read: amount,
  },
  connectionAgeGraceMs: {
    flags: '--max-connection-age-grace-ms <ms>',
    description: 'its last calls are cut after it; 0 is never',
    read: amount,
  },
  keepaliveMs: {
    flags: '--keepalive-ms <ms>',
    description: 'time between pings to a client; 0 is none',
    read: amount,
  },
  keepaliveTimeoutMs: {
    flags: '--keepalive-timeout-ms <ms>',
    description: 'a client that answers none for so long is cut',
    read: count,
  },
  pingIntervalMsMin: {
    flags: '--min-ping-interval-ms <ms>',
    description: 'a client that pings more often is cut',
    read: amount,
  },
  connectionStreamCountMax: {
    flags: '--max-streams <count>',
    description: 'calls open on one connection',
    read: count,
  },
  streamRequestCountMax: {
    flags: '--max-stream-requests <count>',
    description: 'pending on one ActStream',
    read: count,
  },
  contextCacheBytesMax: {
    flags: '--context-cache-mib <MiB>',
    description: 'generated policy weights',
    unit: mebibyte,
    read: amount,
  },
  criticCacheBytesMax: {
    flags: '--critic-cache-mib <MiB>',
    description: 'generated critic weights',
    unit: mebibyte,
    read: amount,
  },
  contextTimeToLiveMs: {
    flags: '--context-ttl-ms <ms>',
    description: 'use of generated weights; 0 is for ever',
    read: amount,
  },
  handleTimeToLiveMs: {
    flags: '--handle-ttl-ms <ms>',
    description: 'how long an unused context handle is kept',
    read: count,
  },
  handleCountMax: {
    flags: '--max-handles <count>',
    description: 'contexts held for clients; each process has its part',
    read: count,
  },
  handleSpoolBytesMax: {
    flags: '--handle-spool-mib <MiB>',
    description: 'their bytes on the disk; each process has its part, which bounds one context',
    unit: mebibyte,
    read: count,
  },
  handleCacheBytesMax: {
    flags: '--handle-cache-mib <MiB>',
    description: 'their bytes in memory',
    unit: mebibyte,
    read: amount,
  },
  handleDirectory: {
    flags: '--handle-directory <directory>',
    description: "where their private directory is made; the system's temporary directory unless given",
  },
  ascentStepCountMax: {
    flags: '--max-ascent-steps <count>',
    description: 'steps of one ascent',
    read: count,
  },
  heldActionCountMax: {
    flags: '--max-held-actions <count>',
    description: 'clients whose last action is kept',
    read: count,
  },
  deadlineMarginMs: {
    flags: '--deadline-margin-ms <ms>',
    description: 'how long before a deadline to give up',
    read: amount,
  },
  drainMs: { flags: '--drain-ms <ms>', description: 'time for requests in flight on SIGTERM', read: amount },
  requestLogEvery: {
    flags: '--log-requests <every>',
    description: 'log one of so many requests, and each that fails with INTERNAL; 0 is none',
    read: amount,
  },
  traceEndpoint: {
    flags: '--trace-endpoint <url>',
    description: 'OTLP over HTTP, e.g. http://127.0.0.1:4318/v1/traces; off unless given',
  },
  traceRatio: {
    flags: '--trace-ratio <ratio>',
    description: 'share of requests traced where the client does not say',
    read: numberIn(0, 1),
  },
  traceQueueCountMax: {
    flags: '--max-trace-spans <count>',
    description: 'spans that wait to be sent; others are dropped',
    read: count,
  },
  logLevel: {
    flags: '--log-level <level>',
    description: 'least important message that is logged',
    choices: levels,
  },
};

const settingNames = Object.keys(flags) as (keyof ServerConfig)[];

export function createCommand(name: string): Command {
  const command = new Command(name)
    .description('Serve the models of a store over gRPC. Logs JSON lines on standard output.')
    .option('--config <file>', 'JSON object of settings, by their names in --print-config')
    .option('--print-config', 'print the settings in force as JSON, and end');
  for (const setting of settingNames) command.addOption(optionOf(setting));
  return command.action(() => serve(command));
}

function optionOf(setting: keyof ServerConfig): Option {
  const { flags: text, description, unit = 1, read, choices } = flags[setting];
  const fallback = serverDefaults[setting];
  const shown = typeof fallback === 'number' ? fallback / unit : fallback;
  const isShown = shown !== null && !Array.isArray(shown);
  const option = new Option(text, isShown ? `${description} (default: ${shown})` : description);
  option.env(`HYPERPOLICY_${option.long!.slice(2).replaceAll('-', '_').toUpperCase()}`);
  if (read !== undefined) option.argParser(read);
  if (choices !== undefined) option.choices(choices);
  return option;
}

async function serve(command: Command): Promise<void> {
  const { config: file, printConfig } = command.opts<{ config?: string; printConfig?: boolean }>();
  const settings = { ...(file !== undefined && readSettings(file)), ...givenSettings(command) };
  if (printConfig === true) {
    process.stdout.write(`${JSON.stringify(parseServerConfig(settings), null, 2)}\n`);
    return;
  }
  // Before the start: a signal while models load stops the server as soon as it stands.
  const signalled = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const server = await start(settings);
  await signalled;
  await server.stop();
}

/** One process serves by itself; several have a parent, which this process then is. */
async function start(settings: ServerSettings): Promise<{ stop(): Promise<void> }> {
  const { processCount } = parseServerConfig(settings);
  if (processCount === 1) return (await import('../../server/main.ts')).startServer(settings);
  return (await import('../../server/processes.ts')).startProcesses(settings);
}

/** Settings that a flag or a variable gives. */
function givenSettings(command: Command): ServerSettings {
  return Object.fromEntries(
    settingNames.flatMap((setting) => {
      const { flags: text, unit = 1 } = flags[setting];
      const value: unknown = command.getOptionValue(new Option(text).attributeName());
      if (value === undefined) return [];
      return [[setting, typeof value === 'number' ? value * unit : value]];
    }),
  );
}

/** @throws HyperpolicyError invalid_argument where the file is not a JSON object */
function readSettings(file: string): ServerSettings {
  const refuse = (actual: string, cause?: unknown) =>
    invalidArgument({ where: `config ${file}`, expected: 'a JSON object of settings', actual, cause });
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw refuse((cause as Error).message, cause);
  }
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) throw refuse('another value');
  return parsed;
}
