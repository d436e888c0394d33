/**
 * `hyperpolicy serve`: runs the server in this process until SIGTERM or SIGINT, then drains.
 *
 * A setting comes from its flag, else from its variable (`HYPERPOLICY_` and the flag's name), else from the file of `--config`, else
 * it is the default.
 */

import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { parseServerConfig, type ServerConfig, type ServerSettings, serverDefaults } from '../../server/config.ts';
import { deviceNames } from '../../src/onnx/providers.ts';
import { invalidArgument } from '../../src/spec/errors.ts';
import { integerIn } from './options.ts';

/** A flag and the setting that it gives. */
type Flag = {
  readonly flags: string;
  readonly setting: keyof ServerConfig;
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

/** One line per setting. */
const flags: readonly Flag[] = [
  { flags: '--store <directory>', setting: 'store', description: 'published models' },
  { flags: '--host <address>', setting: 'host', description: 'address to listen on, for every port' },
  { flags: '--port <port>', setting: 'port', description: 'gRPC; 0 picks a free one', read: port },
  {
    flags: '--metrics-port <port>',
    setting: 'metricsPort',
    description: 'HTTP /metrics, /healthz, /readyz',
    read: port,
  },
  {
    flags: '--admin-port <port>',
    setting: 'adminPort',
    description: 'gRPC AdminService; off unless given',
    read: port,
  },
  { flags: '--http-port <port>', setting: 'httpPort', description: 'JSON over HTTP; off unless given', read: port },
  {
    flags: '--http-origin <origin...>',
    setting: 'httpOrigins',
    description: 'web origins that may call the HTTP port',
  },
  {
    flags: '--max-http-connections <count>',
    setting: 'httpConnectionCountMax',
    description: 'on the HTTP port',
    read: count,
  },
  { flags: '--tls-certificate <file>', setting: 'tlsCertificateFile', description: 'certificate chain, PEM; reread' },
  { flags: '--tls-key <file>', setting: 'tlsKeyFile', description: 'its key, PEM' },
  {
    flags: '--tls-client-authority <file>',
    setting: 'tlsClientAuthorityFile',
    description: 'ask clients for certificates of it',
  },
  { flags: '--tokens <file>', setting: 'tokensFile', description: 'JSON list of tokens; callers then need one' },
  {
    flags: '--watch-ms <ms>',
    setting: 'watchMs',
    description: 'time between looks for new versions; 0 is never',
    read: amount,
  },
  {
    flags: '--versions <count>',
    setting: 'versionCountMax',
    description: 'versions of a model kept ready',
    read: count,
  },
  {
    flags: '--workers <count>',
    setting: 'workerCount',
    description: 'threads that run heavy graphs; 0 is none',
    read: integerIn(0, 256),
  },
  {
    flags: '--threads <count>',
    setting: 'threadCount',
    description: 'threads inside one heavy run',
    read: integerIn(1, 256),
  },
  { flags: '--device <device>', setting: 'device', description: 'where heavy graphs run', choices: deviceNames },
  { flags: '--max-rows <count>', setting: 'rowCountMax', description: 'rows of one request', read: count },
  { flags: '--max-batch-rows <count>', setting: 'batchRowCountMax', description: 'rows of one heavy run', read: count },
  {
    flags: '--max-queue-rows <count>',
    setting: 'queueRowCountMax',
    description: 'rows that wait for one heavy graph',
    read: count,
  },
  {
    flags: '--max-message-bytes <bytes>',
    setting: 'messageBytesMax',
    description: 'bytes of one message',
    read: integerIn(1024, large),
  },
  { flags: '--max-requests <count>', setting: 'requestCountMax', description: 'requests in flight', read: count },
  {
    flags: '--max-streams <count>',
    setting: 'connectionStreamCountMax',
    description: 'calls open on one connection',
    read: count,
  },
  {
    flags: '--max-stream-requests <count>',
    setting: 'streamRequestCountMax',
    description: 'pending on one ActStream',
    read: count,
  },
  {
    flags: '--context-cache-mib <MiB>',
    setting: 'contextCacheBytesMax',
    description: 'generated policy weights',
    unit: mebibyte,
    read: amount,
  },
  {
    flags: '--critic-cache-mib <MiB>',
    setting: 'criticCacheBytesMax',
    description: 'generated critic weights',
    unit: mebibyte,
    read: amount,
  },
  {
    flags: '--context-ttl-ms <ms>',
    setting: 'contextTimeToLiveMs',
    description: 'use of generated weights; 0 is for ever',
    read: amount,
  },
  {
    flags: '--max-ascent-steps <count>',
    setting: 'ascentStepCountMax',
    description: 'steps of one ascent',
    read: count,
  },
  {
    flags: '--max-held-actions <count>',
    setting: 'heldActionCountMax',
    description: 'clients whose last action is kept',
    read: count,
  },
  {
    flags: '--deadline-margin-ms <ms>',
    setting: 'deadlineMarginMs',
    description: 'how long before a deadline to give up',
    read: amount,
  },
  { flags: '--drain-ms <ms>', setting: 'drainMs', description: 'time for requests in flight on SIGTERM', read: amount },
  {
    flags: '--log-level <level>',
    setting: 'logLevel',
    description: 'least important message that is logged',
    choices: levels,
  },
];

export function createCommand(name: string): Command {
  const command = new Command(name)
    .description('Serve the models of a store over gRPC. Logs JSON lines on standard output.')
    .option('--config <file>', 'JSON object of settings, by their names in --print-config')
    .option('--print-config', 'print the settings in force as JSON, and end');
  for (const flag of flags) command.addOption(optionOf(flag));
  return command.action(() => serve(command));
}

function optionOf({ flags: text, setting, description, unit = 1, read, choices }: Flag): Option {
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
  const { startServer } = await import('../../server/main.ts');
  // Before the start: a signal while models load stops the server as soon as it stands.
  const signalled = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const server = await startServer(settings);
  await signalled;
  await server.stop();
}

/** Settings that a flag or a variable gives. */
function givenSettings(command: Command): ServerSettings {
  return Object.fromEntries(
    command.options.flatMap((option) => {
      const flag = flags.find(({ flags: text }) => text === option.flags);
      const value: unknown = command.getOptionValue(option.attributeName());
      if (flag === undefined || value === undefined) return [];
      return [[flag.setting, typeof value === 'number' ? value * (flag.unit ?? 1) : value]];
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
