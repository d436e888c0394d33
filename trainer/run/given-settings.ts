/** The config of a run from flags, a file and defaults, in this order of precedence; a resumed run has its own config. */

import { availableParallelism } from 'node:os';
import { basename, extname, join, resolve } from 'node:path';
import { environmentNames } from '../../src/envs/registry.ts';
import { checkModelName } from '../../src/package/model-name.ts';
import type { Algorithm } from './algorithm.ts';
import { completeConfig, isRecord, merged } from './complete-config.ts';
import {
  commonSchema,
  type GivenConfig,
  type PublishOptions,
  type RunConfig,
  resumableSettings,
  threadCountMax,
} from './config.ts';
import { readConfigFile } from './config-file.ts';
import { readRunConfig } from './run-directory.ts';
import { kindWords, madeModelName, runName } from './run-names.ts';
import { type Flag, flaglessOf, flagsOf, type TextSetting } from './setting.ts';

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

/** An algorithm's flags in the order of the help. `shown` is the default in the help. */
export function settingFlags({ schemas, ...algorithm }: Algorithm): (Flag & { readonly shown: string | undefined })[] {
  const flags = [
    ...flagsOf(commonSchema.pick({ environment: true })),
    ...flagsOf(schemas.algorithm, ['algorithm']),
    ...flagsOf(schemas.loop, ['loop']),
    ...flagsOf(commonSchema.omit({ environment: true })),
  ];
  const plain = defaultsBeside(algorithm, {});
  const changes = changesOf(algorithm, flags, plain);
  return flags.map((flag) => ({ ...flag, shown: shownDefault(flag, plain, changes) }));
}

type Defaults = Pick<Algorithm, 'defaults' | 'environmentDefault'>;

/** An algorithm's defaults where these settings are given. */
function defaultsBeside({ defaults, environmentDefault }: Defaults, given: GivenConfig): GivenConfig {
  const settings = { environment: environmentDefault, algorithm: {}, loop: {}, ...given };
  return { environment: settings.environment, ...defaults(settings) };
}

/** A choice that a flag offers: the defaults without it and with it. */
type Change = {
  readonly path: Flag['path'];
  readonly name: string;
  readonly before: GivenConfig;
  readonly after: GivenConfig;
};

/** Those of environments, and beside each of these those of the other flags: some defaults change in some environments only. */
function changesOf(algorithm: Defaults, flags: readonly Flag[], plain: GivenConfig): Change[] {
  const beside = environmentNames.map((environment) => defaultsBeside(algorithm, { environment }));
  const ofEnvironments = beside.map((after) => ({ path: ['environment'], name: '--env', before: plain, after }));
  // Many environments have the same ones.
  const distinct = new Map(beside.map((one) => [JSON.stringify({ ...one, environment: '' }), one]));
  const choices = flags.filter(({ path }) => path[0] === 'algorithm');
  const others = [...distinct.values()].flatMap((before) =>
    choices.flatMap(({ flag, path, choices: values = [] }) =>
      values.map((value) => {
        const given = merged({ environment: before.environment }, nested([{ flag, path, value }]));
        return { path, name: flag.split(' ')[0]!, before, after: defaultsBeside(algorithm, given) };
      }),
    ),
  );
  return [...ofEnvironments, ...others];
}

/** The default of a run without other flags, and the flags that change it. A setting's own words for one that changes say all. */
function shownDefault({ path, defaultText }: Flag, plain: GivenConfig, changes: readonly Change[]): string | undefined {
  const value = valueText(plain, path);
  if (defaultText !== undefined && value !== undefined) return defaultText;
  const isOther = (change: Change) => change.path.join() !== path.join();
  const names = changes
    .filter((change) => isOther(change) && valueText(change.before, path) !== valueText(change.after, path))
    .map(({ name }) => name);
  const changed = names.length === 0 ? [] : [`changes with ${[...new Set(names)].join(', ')}`];
  const parts = [defaultText ?? value ?? [], changed].flat();
  return parts.length === 0 ? undefined : parts.join('; ');
}

/** As a person gives it. */
function valueText(settings: GivenConfig, path: readonly string[]): string | undefined {
  const value = path.reduce<unknown>((at, name) => (at as GivenConfig | undefined)?.[name], settings);
  return value === undefined ? undefined : String(value);
}

/** An algorithm's settings without a flag, by the dotted names that they have in a config. */
export const flaglessSettings = ({ schemas }: Algorithm): ReadonlyMap<string, TextSetting> =>
  new Map([...flaglessOf(schemas.algorithm, ['algorithm']), ...flaglessOf(schemas.loop, ['loop'])]);

/**
 * The config of a new run.
 * @throws HyperpolicyError: a file that cannot be read, a setting that is unknown or does not fit, a model's name
 */
export function newConfig(algorithm: Algorithm, given: Given): RunConfig & { readonly publish: PublishOptions } {
  const file = given.file === undefined ? {} : withoutMadeName(algorithm, readConfigFile(given.file), given.file);
  const source = given.file ?? `train ${algorithm.name}`;
  const settings = merged(merged(defaults(algorithm), file), nested(given.flags));
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
const nested = (flags: readonly GivenFlag[]): GivenConfig =>
  flags.reduce<GivenConfig>(
    (config, { path, value }) =>
      merged(config, path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as GivenConfig),
    {},
  );
