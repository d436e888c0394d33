/** The flags of `hyperpolicy train ALGORITHM`: those that the algorithm's settings declare, and those of every algorithm. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import type { PublishOptions } from '../../trainer/run/config.ts';
import type { Given } from '../../trainer/run/given-settings.ts';
import type { Flag } from '../../trainer/run/setting.ts';
import { integerIn } from './options.ts';

/** Values by the camel-case names of their flags; those that are not listed are settings of the run. */
export type TrainOptions = {
  readonly config?: string;
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

type SettingFlag = Flag & { readonly shown: string | undefined };

/** @param publishChoices of `--publish` */
export function addTrainOptions(
  command: Command,
  flags: readonly SettingFlag[],
  publishChoices: readonly PublishOptions['which'][],
): Command {
  for (const flag of flags) command.addOption(optionOf(flag));
  return command
    .option('--config <file>', 'settings as JSON or YAML; flags override them, and they override the defaults')
    .option('--print-config', 'print the settings of the run as JSON, which --config takes, and train nothing')
    .option(
      '--run <directory>',
      'run directory: metrics, log, plot, checkpoints; runs/MODEL-seedN unless given, N being the seed',
    )
    .option('--store <directory>', 'where the model is published', serverDefaults.store)
    .option(
      '--model <name>',
      'name of the published model; made of environment, algorithm, network and seed unless given',
    )
    .addOption(
      new Option(
        '--publish <which>',
        'the policy of the best evaluation after the warm-up, of the last step, of every evaluation as the run comes to it (a version each), or none',
      )
        .choices(publishChoices)
        .default('best'),
    )
    .addOption(
      new Option(
        '--metrics-port <port>',
        'serves metrics of the run for Prometheus at /metrics; 0 picks a free one; off unless given',
      ).argParser(integerIn(0, 65_535)),
    )
    .option('--metrics-host <address>', 'address that this port listens on; 0.0.0.0 is every one', '127.0.0.1')
    .option(
      '--resume',
      'continue from the newest checkpoint of the run directory, with its settings; length, intervals, threads and device may be given anew; a finished run is published once',
    );
}

function optionOf({ flag, help, choices, shown, parse }: SettingFlag): Option {
  const option = new Option(flag, shown === undefined ? help : `${help} (default: ${shown})`);
  if (choices !== undefined) return option.choices([...choices]);
  return option.argParser((given: string) => {
    const result = parse(given);
    if ('value' in result) return result.value;
    throw new InvalidArgumentError(`Expected ${result.expected}`);
  });
}

/** What the command line says of the run. */
export function givenOf(options: TrainOptions, command: Command, flags: readonly Flag[]): Given {
  const isGiven = (name: string) => command.getOptionValueSource(name) === 'cli';
  const { publish, store, model } = options;
  return {
    file: options.config,
    flags: flags.flatMap(({ flag, path }) => {
      const { long, attributeName } = optionNames(flag);
      const value = options[attributeName];
      return value === undefined ? [] : [{ flag: long, path, value }];
    }),
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
