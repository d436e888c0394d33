/** The config of a run from flags, a file and defaults, in this order of precedence; a resumed run has its own config. */

import { availableParallelism } from 'node:os';
import { basename, extname, join, resolve } from 'node:path';
import { checkModelName } from '../../src/package/model-name.ts';
import type { Algorithm } from './algorithm.ts';
import { completeConfig, dotted, isRecord, merged, withDefaults, without } from './complete-config.ts';
import {
  commonSchema,
  type GivenConfig,
  type PublishOptions,
  type RunConfig,
  resumableSettings,
  threadCountMax,
} from './config.ts';
import { readConfigFile } from './config-file.ts';
import { readRunConfig, requireRun } from './run-directory.ts';
import { kindWords, madeModelName, runName } from './run-names.ts';
import { type Flag, flaglessOf, flagsOf, settingsOf, type TextSetting } from './setting.ts';

/** A setting's flag, e.g. `--batch-size`, with its value. */
export type GivenFlag = Pick<Flag, 'flag' | 'path'> & { readonly value: unknown };

export type Given = {
  /** A file of settings. */
  readonly file?: string | undefined;
  readonly flags: readonly GivenFlag[];
  /** Publishing options of the command line. */
  readonly publish: Partial<PublishOptions>;
  /** Publishing options that neither command line nor file gives. */
  readonly publishDefaults: Omit<PublishOptions, 'model'>;
};

/** Defaults beside those of the algorithm. */
const defaults = ({ environmentDefault }: Algorithm) => ({
  environment: environmentDefault,
  threadCount: Math.min(availableParallelism(), threadCountMax),
});

/** An algorithm's flags in the order of the help. */
export const settingFlags = ({ schemas }: Pick<Algorithm, 'schemas'>): Flag[] => [
  ...flagsOf(commonSchema.pick({ environment: true })),
  ...flagsOf(schemas.algorithm, ['algorithm']),
  ...flagsOf(schemas.loop, ['loop']),
  ...flagsOf(commonSchema.omit({ environment: true })),
];

/** An algorithm's settings without a flag, by the dotted names that they have in a config. */
export const flaglessSettings = ({ schemas }: Algorithm): ReadonlyMap<string, TextSetting> =>
  new Map([...flaglessOf(schemas.algorithm, ['algorithm']), ...flaglessOf(schemas.loop, ['loop'])]);

/**
 * The config of a new run.
 * @throws HyperpolicyError: a file that cannot be read, a setting that is unknown or does not fit, a model's name
 */
export function newConfig(algorithm: Algorithm, given: Given): RunConfig & { readonly publish: PublishOptions } {
  const flags = nested(given.flags);
  const file = given.file === undefined ? {} : withoutMade(algorithm, readConfigFile(given.file), flags, given.file);
  const source = given.file ?? `train ${algorithm.name}`;
  const settings = merged(merged(defaults(algorithm), file), flags);
  const model = modelName(algorithm, completeConfig(algorithm, { ...settings, publish: undefined }, source));
  const filePublish = file.publish ?? {};
  const publish = isRecord(filePublish)
    ? merged(merged({ ...given.publishDefaults, model }, filePublish), given.publish)
    : filePublish;
  // Of a file that an earlier run left, too.
  const workingDirectory = process.cwd();
  return checked(completeConfig(algorithm, { ...settings, workingDirectory, publish }, source));
}

/**
 * The config that a run was begun with. Publishing options and some settings, such as the length, may be given again.
 * @throws HyperpolicyError: no run there, or a config that does not fit
 */
export function resumedConfig(
  algorithm: Algorithm,
  runDirectory: string,
  given: Given,
): RunConfig & { readonly publish: PublishOptions } {
  requireRun(runDirectory);
  const settings = merged(readRunConfig(runDirectory), nested(given.flags));
  const config = completeConfig(algorithm, settings, join(runDirectory, 'config.json'));
  const { store } = given.publishDefaults;
  const own = config.publish && {
    ...config.publish,
    store: resolve(config.workingDirectory ?? '.', config.publish.store),
  };
  const former = own ?? { which: 'none', store, model: modelName(algorithm, config) };
  return checked({ ...config, publish: { ...former, ...given.publish } });
}

/** Whether a resumed run accepts this flag. */
export const isResumable = ({ resumable }: Algorithm, { path: [group, name] }: Pick<Flag, 'path'>): boolean =>
  name === undefined ? resumableSettings.includes(group!) : group === 'loop' && resumable.includes(name);

/** The model's name if no setting is given, without the seed. */
export const defaultModelBase = (algorithm: Algorithm): string =>
  modelBase(algorithm, completeConfig(algorithm, defaults(algorithm)));

/** The part of a file that flags leave as it is: a file that --print-config or a run wrote has also what was made of the rest. */
const withoutMade = (algorithm: Algorithm, file: GivenConfig, flags: GivenConfig, source: string): GivenConfig =>
  withoutNetworkDefaults(algorithm, withoutMadeName(algorithm, file, source), flags);

/**
 * Without the options that a network of the file's choices has by default, where flags choose a network that has others: they are those of that
 * one. Another environment is no other network.
 */
function withoutNetworkDefaults(algorithm: Algorithm, file: GivenConfig, flags: GivenConfig): GivenConfig {
  const { algorithm: settings } = file;
  if (!isRecord(settings)) return file;
  const optional = settingsOf(algorithm.schemas.algorithm).filter(({ type }) => type.isOptional());
  // A choice beside the networks, such as the policy, decides what these are.
  const ofNetworks = optional.filter(({ path, choices }) => path.length > 1 || choices === undefined);
  const options = new Set(ofNetworks.map(({ path }) => path.join('.')));
  const defaultsBeside = (choices: GivenConfig) => {
    const given = { ...merged(defaults(algorithm), file), algorithm: without(choices, options) };
    const whole = dotted(withDefaults(algorithm, given).algorithm as GivenConfig);
    return new Map(whole.map(([name, value]) => [name, JSON.stringify(value)]));
  };
  const own = defaultsBeside(settings);
  const chosen = defaultsBeside(isRecord(flags.algorithm) ? merged(settings, flags.algorithm) : settings);
  const isMade = ([name, value]: [string, unknown]) =>
    options.has(name) && JSON.stringify(value) === own.get(name) && own.get(name) !== chosen.get(name);
  const made = dotted(settings).filter(isMade);
  return { ...file, algorithm: without(settings, new Set(made.map(([name]) => name))) };
}

/** A file that --print-config or a run wrote names the model after its own settings; with other ones the name is made anew. */
function withoutMadeName(algorithm: Algorithm, file: GivenConfig, source: string): GivenConfig {
  if (!isRecord(file.publish)) return file;
  const { model, ...publish } = file.publish;
  const own = completeConfig(algorithm, { ...merged(defaults(algorithm), file), publish: undefined }, source);
  return model === modelName(algorithm, own) ? { ...file, publish } : file;
}

function checked(config: RunConfig): RunConfig & { readonly publish: PublishOptions } {
  checkModelName(config.publish!.model);
  return config as RunConfig & { readonly publish: PublishOptions };
}

const modelName = (algorithm: Algorithm, config: RunConfig): string =>
  runName(modelBase(algorithm, config), config.loop.seed);

/** A name made of environment, algorithm and variant. */
const modelBase = (algorithm: Algorithm, { environment, ...settings }: RunConfig): string =>
  madeModelName([basename(environment, extname(environment)), ...kindWords(algorithm, settings)], settings.loop.seed);

/** The part of a config that the flags give. */
export const nested = (flags: readonly GivenFlag[]): GivenConfig =>
  flags.reduce<GivenConfig>(
    (config, { path, value }) =>
      merged(config, path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as GivenConfig),
    {},
  );
