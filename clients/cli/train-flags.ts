/** The flags of `hyperpolicy train ALGORITHM`: those of every algorithm, and those that the algorithm's settings declare. */

import { type Command, InvalidArgumentError, Option } from 'commander';
import { serverDefaults } from '../../server/config.ts';
import type { Algorithm } from '../../trainer/run/algorithm.ts';
import { commonSchema, type GivenConfig, type PublishOptions } from '../../trainer/run/config.ts';
import { type Flag, flagsOf } from '../../trainer/run/setting.ts';

/** Flags that are no settings of the run, beside those of settings by their camel-case names. */
export type TrainOptions = {
  readonly config?: string;
  readonly printConfig?: boolean;
  readonly run?: string;
  readonly resume?: boolean;
  readonly store: string;
  readonly model?: string;
  readonly publish: PublishOptions['which'];
  readonly [setting: string]: unknown;
};

export const defaultEnvironment = 'HalfCheetah-v5';

/** In the order of the help. */
const settingFlags = ({ schemas }: Algorithm): Flag[] => [
  ...flagsOf(commonSchema.pick({ environment: true })),
  ...flagsOf(schemas.algorithm, ['algorithm']),
  ...flagsOf(schemas.loop, ['loop']),
  ...flagsOf(commonSchema.omit({ environment: true })),
];

export function addTrainOptions(command: Command, algorithm: Algorithm): Command {
  const defaults = {
    environment: defaultEnvironment,
    ...algorithm.defaults({ environment: defaultEnvironment, algorithm: {}, loop: {} }),
  };
  for (const flag of settingFlags(algorithm)) command.addOption(optionOf(flag, defaults));
  return command
    .option('--config <file>', 'settings as JSON or YAML; flags come before it, defaults after it')
    .option('--print-config', 'print the settings of the run as JSON, a file for --config, and train nothing')
    .option('--run <directory>', 'run directory: metrics, log, plot, checkpoints; runs/MODEL unless given')
    .option('--store <directory>', 'where the model is published', serverDefaults.store)
    .option('--model <name>', 'name of the published model; ENV-ALGORITHM-VARIANT in lower case unless given')
    .addOption(
      new Option('--publish <which>', 'the policy of the best evaluation after the warm-up, of the last step, or none')
        .choices(['best', 'last', 'none'])
        .default('best'),
    )
    .option(
      '--resume',
      'go on from the newest checkpoint of the run directory, with its settings; a finished run is published once',
    );
}

function optionOf({ flag, help, path, choices, defaultText, parse }: Flag, defaults: GivenConfig): Option {
  const value = path.reduce<unknown>((at, name) => (at as GivenConfig | undefined)?.[name], defaults);
  const shown = defaultText ?? (value === undefined ? undefined : String(value));
  const option = new Option(flag, shown === undefined ? help : `${help} (default: ${shown})`);
  if (choices !== undefined) return option.choices([...choices]);
  return option.argParser((given: string) => {
    const result = parse(given);
    if ('value' in result) return result.value;
    throw new InvalidArgumentError(`Expected ${result.expected}`);
  });
}

/** A setting's flag as it was given. */
export type GivenFlag = { readonly flag: string; readonly path: readonly string[]; readonly value: unknown };

/** The settings that flags give, in the order of the help. */
export const givenFlags = (algorithm: Algorithm, options: TrainOptions): GivenFlag[] =>
  settingFlags(algorithm).flatMap(({ flag, path }) => {
    const option = new Option(flag);
    const value = options[option.attributeName()];
    return value === undefined ? [] : [{ flag: option.long!, path, value }];
  });
