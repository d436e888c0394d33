/** The flags of `hyperpolicy train ALGORITHM`: those that the algorithm's settings declare, and those of every algorithm. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import { meant } from '../../src/contract/nearest.ts';
import type { PublishOptions } from '../../trainer/run/config.ts';
import type { Given, GivenFlag } from '../../trainer/run/given-settings.ts';
import type { Flag, TextSetting } from '../../trainer/run/setting.ts';
import type { ShownFlag } from '../../trainer/run/shown-defaults.ts';
import { integerIn } from './options.ts';

/** Values by the camel-case names of their flags; those that are not listed are settings of the run. */
export type TrainOptions = {
  readonly config?: string;
  readonly set?: readonly GivenFlag[];
  readonly printConfig?: boolean;
  readonly run?: string;
  readonly resume?: boolean;
  readonly store: string;
  readonly model?: string;
  readonly publish: PublishOptions['which'];
  readonly metricsPort?: number;
  readonly metricsHost: string;
  readonly [setting: string]: unknown;
};

/**
 * @param choices.flagless the settings that have no flag
 * @param choices.publishChoices of `--publish`
 */
export function addTrainOptions(
  command: Command,
  {
    flags,
    flagless,
    publishChoices,
  }: {
    readonly flags: readonly ShownFlag[];
    readonly flagless: ReadonlyMap<string, TextSetting>;
    readonly publishChoices: readonly PublishOptions['which'][];
  },
): Command {
  for (const flag of flags) command.addOption(optionOf(flag));
  return command
    .option('--config <file>', 'settings as JSON or YAML; flags override them, and they override the defaults')
    .addOption(
      new Option(
        '--set <name=value>',
        `a setting that has no flag, by its name in the config; may be given several times: ${[...flagless.keys()].join(', ')}`,
      ).argParser((given: string, before: readonly GivenFlag[] = []) => [
        ...before,
        setting(given, { flags, flagless }),
      ]),
    )
    .option('--print-config', 'print the settings of the run as JSON, which --config takes, and train nothing')
    .option(
      '--run <directory>',
      'run directory, with metrics, log, plot and checkpoints; default: runs/MODEL-seedN, where N is the seed',
    )
    .option('--store <directory>', 'where the model is published', serverDefaults.store)
    .option('--model <name>', 'name of the published model; default: made of environment, algorithm, network and seed')
    .addOption(
      new Option(
        '--publish <which>',
        'which policy is published: that of the best evaluation after the warm-up, of the last step, of each evaluation as soon as it is done (a version each), or none: the networks of the best are then files of the run directory alone, for import',
      )
        .choices(publishChoices)
        .default('best'),
    )
    .option(
      '--metrics-port <port>',
      "port for metrics of the run in Prometheus' form at /metrics; 0 picks a free one; default: off",
      integerIn(0, 65_535),
    )
    .option(
      '--metrics-host <address>',
      'address that --metrics-port listens on; 0.0.0.0: all addresses of this machine',
      '127.0.0.1',
    )
    .option(
      '--resume',
      'continue from the newest checkpoint of the run directory, with its settings, or begin anew if the run ended before its first one. Length, intervals, threads and device may be changed. A finished run is published if it was not yet',
    );
}

function optionOf({ flag, help, choices, shown, parse }: ShownFlag): Option {
  const option = new Option(flag, shown === undefined ? help : `${help} (default: ${shown})`);
  if (choices !== undefined) return option.choices([...choices]);
  return option.argParser((given: string) => {
    const result = parse(given);
    if ('value' in result) return result.value;
    throw new InvalidArgumentError(`Expected ${result.expected}`);
  });
}

/** Of `--set`. */
function setting(
  given: string,
  { flags, flagless }: { readonly flags: readonly Flag[]; readonly flagless: ReadonlyMap<string, TextSetting> },
): GivenFlag {
  const [, name = given, text] = /^(.*?)=(.*)$/s.exec(given) ?? [];
  const found = flagless.get(name);
  if (found === undefined || text === undefined) {
    const suggested = suggestedFor(name, { flags, flagless });
    const advice = suggested === undefined ? '' : `. Did you mean ${suggested}?`;
    throw new InvalidArgumentError(`Expected NAME=VALUE of a setting that has no flag${advice}`);
  }
  const result = found.parse(text);
  if ('value' in result) return { flag: `--set ${name}`, path: found.path, value: result.value };
  throw new InvalidArgumentError(`Expected ${found.choices?.join(', ') ?? result.expected}`);
}

/** What may be meant by a name: a flag, by its own name or that in the config, or a setting without one. */
function suggestedFor(
  name: string,
  { flags, flagless }: { readonly flags: readonly Flag[]; readonly flagless: ReadonlyMap<string, TextSetting> },
): string | undefined {
  const longs = flags.map(({ flag, path }) => ({ long: optionNames(flag).long, path }));
  const suggestions = new Map([
    ...longs.map(({ long }) => [long.slice(2), long] as const),
    ...longs.map(({ long, path }) => [path.join('.'), long] as const),
    ...[...flagless.keys()].map((key) => [key, `${key}=...`] as const),
  ]);
  const near = meant(name, [...suggestions.keys()]);
  return near && suggestions.get(near);
}

/** What the command line says of the run. */
export function givenOf(options: TrainOptions, command: Command, flags: readonly Flag[]): Given {
  const isGiven = (name: string) => command.getOptionValueSource(name) === 'cli';
  const { publish, store, model } = options;
  return {
    file: options.config,
    flags: [
      ...flags.flatMap(({ flag, path }) => {
        const { long, attributeName } = optionNames(flag);
        const value = options[attributeName];
        return value === undefined ? [] : [{ flag: long, path, value }];
      }),
      ...(options.set ?? []),
    ],
    publish: {
      ...(isGiven('publish') && { which: publish }),
      ...(isGiven('store') && { store }),
      ...(model !== undefined && { model }),
    },
    publishDefaults: { which: 'best', store },
  };
}

/** As commander names an option on the command line and in its values. */
function optionNames(flag: string): { readonly long: string; readonly attributeName: string } {
  const option = new Option(flag);
  return { long: option.long!, attributeName: option.attributeName() };
}
