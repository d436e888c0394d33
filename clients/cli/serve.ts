/**
 * `hyperpolicy serve`: runs the server, in this process or as the parent of several, until SIGTERM or SIGINT, then drains.
 *
 * A setting comes from its flag, else from its variable (`HYPERPOLICY_` and the flag's name), else from the file of `--config`, else
 * it is the default.
 */

import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import {
  parseServerConfig,
  perProcessSettings,
  type ServerConfig,
  type ServerSettings,
  serverDefaults,
  typeOf,
} from '../../server/config.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import { endProcess } from '../../src/contract/process-end.ts';
import { choicesOf } from '../../src/contract/settings.ts';
import { timerMs } from '../../src/contract/timers.ts';
import { parseWrittenJson } from '../../src/contract/written-json.ts';
import { checkFolder, checkPorts } from './checks.ts';
import { integerIn, numberIn } from './options.ts';
import { type Flag, flagBounds, helpOf, settingFlags } from './serve-flags.ts';
import { booleanVariable, namingServices, refuseUnknownVariables, variableOf } from './serve-variables.ts';

export function createCommand(name: string): Command {
  const command = new Command(name)
    .description(
      'Serve the models of a store over gRPC, until SIGTERM or SIGINT. Logs JSON lines on standard output.\n\n' +
        'A setting comes from its flag, else from its variable, which is the name of the flag in capitals after HYPERPOLICY_ ' +
        '(--metrics-port: HYPERPOLICY_METRICS_PORT), else from the file of --config. With several processes each has a limit ' +
        'that is marked "per process"; the others are of the server, or of one request, connection or stream.',
    )
    .option('--config <file>', 'JSON object of settings; names as in --print-config')
    .option('--print-config', 'print the settings in force as JSON, and exit')
    // The help says once how variables are named, not with each flag.
    .configureHelp({ optionDescription: ({ description }) => description })
    .addHelpText(
      'after',
      `
Examples:
  hyperpolicy serve --store .hyperpolicy/store
  hyperpolicy serve --host 0.0.0.0 --tls-certificate server.crt --tls-key server.key --tokens tokens.json
  hyperpolicy serve --processes 4 --admin-port 50052 --context-cache-mib 512
  hyperpolicy serve --port 8001 --print-config > server.json; hyperpolicy serve --config server.json`,
    );
  for (const { setting, flag, heading } of settingFlags) command.addOption(optionOf(setting, flag).helpGroup(heading));
  return command.action(() => serve(command));
}

function optionOf(setting: keyof ServerConfig, flag: Flag): Option {
  const option = new Option(flag.flags, helpOf(setting, flag, serverDefaults[setting]));
  // For a flag without a value, the library takes any value of its variable as yes.
  if (!option.isBoolean()) option.env(variableOf(flag.flags));
  const bounds = flagBounds(setting, flag);
  const choices = choicesOf(typeOf(setting));
  if (bounds !== undefined) {
    option.argParser(namingServices((bounds.isInteger ? integerIn : numberIn)(bounds.low, bounds.high)));
  }
  if (choices !== undefined) option.choices(choices);
  if (option.variadic) option.argParser(listed);
  return option;
}

/** Values of a flag that takes several; in one text, as a variable has them, with commas or spaces between. */
const listed = (text: string, before: readonly string[] | undefined): readonly string[] => [
  ...(before ?? []),
  ...text.split(/[\s,]+/).filter((value) => value !== ''),
];

async function serve(command: Command): Promise<void> {
  refuseUnknownVariables(
    process.env,
    settingFlags.map(({ flag: { flags } }) => variableOf(flags)),
  );
  const { config: file, printConfig } = command.opts<{ config?: string; printConfig?: boolean }>();
  const settings = { ...(file !== undefined && readSettings(file)), ...givenSettings(command) };
  if (printConfig === true) {
    const config = parseServerConfig(settings);
    process.stdout.write(`${JSON.stringify(config, null, 2)}\n`);
    if (config.processCount > 1) {
      process.stderr.write(`Of each of the ${config.processCount} processes: ${perProcessSettings.join(', ')}.\n`);
    }
    return;
  }
  // Listen before the start: a signal while models load stops the server once it has started.
  const signalled = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  const config = parseServerConfig(settings);
  // For a thread in native code, which nobody can end, or models that are still being loaded.
  void signalled.then(() => setTimeout(endByForce, timerMs(config.drainMs + endMsMax(config.processCount))).unref());
  const server = await start(settings, config);
  await signalled;
  await server.stop();
}

function endByForce(): void {
  process.stderr.write('serve: ended by force: a thread is in a run that does not end, or models are being loaded\n');
  endProcess();
}

/**
 * Longest time between the end of draining and the end of the process. A parent waits this long for its processes, and ends after them.
 */
const endMsMax = (processCount: number): number => (processCount === 1 ? 5000 : 15_000);

/** One process serves by itself; several have a parent, which this process then is. */
async function start(
  settings: ServerSettings,
  { processCount, host, store, ...ports }: ServerConfig,
): Promise<{ stop(): Promise<void> }> {
  checkFolder('--store', store);
  const flags = {
    '--port': ports.port,
    '--metrics-port': ports.metricsPort,
    '--admin-port': ports.adminPort ?? undefined,
    '--http-port': ports.httpPort ?? undefined,
  };
  const { addressOf, portInUse } = await import('../../src/contract/ports.ts');
  await checkPorts(host, flags, {
    where: 'serve',
    remedy: '0 takes any that is free',
    // The server's own error, but before it loads models.
    refusal: (flag, port, cause) => portInUse(flag.slice(2).replaceAll('-', ' '))(cause, addressOf(host, port)),
  });
  if (processCount === 1) return (await import('../../server/main.ts')).startServer(settings);
  return (await import('../../server/processes/processes.ts')).startProcesses(settings);
}

/** Settings that a flag or a variable gives. */
function givenSettings(command: Command): ServerSettings {
  return Object.fromEntries(
    settingFlags.flatMap(({ setting, flag: { flags: text, unit = 1 } }) => {
      const option = new Option(text);
      const value: unknown =
        command.getOptionValue(option.attributeName()) ??
        (option.isBoolean() ? booleanVariable(variableOf(text), process.env) : undefined);
      if (value === undefined) return [];
      return [[setting, typeof value === 'number' ? value * unit : value]];
    }),
  );
}

/** @throws HyperpolicyError invalid_argument if the file is not a JSON object, or gives a name twice */
function readSettings(file: string): ServerSettings {
  const refuse = (actual: string, cause?: unknown) =>
    invalidArgument({ where: `config ${file}`, expected: 'a JSON object of settings', actual, cause });
  let parsed: unknown;
  try {
    parsed = parseWrittenJson(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw refuse((cause as Error).message, cause);
  }
  if (parsed === null || typeof parsed !== 'object' || Array.isArray(parsed)) throw refuse('another value');
  return parsed;
}
