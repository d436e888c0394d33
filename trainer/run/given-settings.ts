/** The config of a run from what a person gave: flags over a file over defaults, or a run's own config where it is resumed. */

import { cpus } from 'node:os';
import { basename, extname, join, resolve } from 'node:path';
import { checkModelName } from '../../src/package/package.ts';
import type { Algorithm } from './algorithm.ts';
import { completeConfig, isRecord, merged } from './complete-config.ts';
import { commonSchema, type GivenConfig, type PublishOptions, type RunConfig, resumableSettings } from './config.ts';
import { readConfigFile } from './config-file.ts';
import { readRunConfig } from './run-directory.ts';
import { type Flag, flagsOf } from './setting.ts';

/** A setting's flag, e.g. `--batch-size`, with its value. */
export type GivenFlag = Pick<Flag, 'flag' | 'path'> & { readonly value: unknown };

export type Given = {
  /** A file of settings. */
  readonly file?: string | undefined;
  readonly flags: readonly GivenFlag[];
  /** What the command line says of publishing. */
  readonly publish: Partial<PublishOptions>;
  /** What holds where nothing is said of publishing. */
  readonly publishDefaults: Omit<PublishOptions, 'model'>;
};

const environmentDefault = 'HalfCheetah-v5';

/** What holds where neither a flag nor a file says otherwise, beside the algorithm's own defaults. */
const defaults = () => ({ environment: environmentDefault, threadCount: cpus().length });

/** An algorithm's flags in the order of its help, each with the default that the help shows. */
export function settingFlags({ schemas, ...algorithm }: Algorithm): (Flag & { readonly shown: string | undefined })[] {
  const environment = environmentDefault;
  const values = { environment, ...algorithm.defaults({ environment, algorithm: {}, loop: {} }) };
  const flags = [
    ...flagsOf(commonSchema.pick({ environment: true })),
    ...flagsOf(schemas.algorithm, ['algorithm']),
    ...flagsOf(schemas.loop, ['loop']),
    ...flagsOf(commonSchema.omit({ environment: true })),
  ];
  return flags.map((flag) => {
    const value = flag.path.reduce<unknown>((at, name) => (at as GivenConfig | undefined)?.[name], values);
    return { ...flag, shown: flag.defaultText ?? (value === undefined ? undefined : String(value)) };
  });
}

/**
 * The config of a new run.
 * @throws HyperpolicyError: a file that cannot be read, a setting that is unknown or does not fit, a model's name
 */
export function newConfig(algorithm: Algorithm, given: Given): RunConfig & { readonly publish: PublishOptions } {
  const file = given.file === undefined ? {} : readConfigFile(given.file);
  const source = given.file ?? `train ${algorithm.name}`;
  const settings = merged(merged(defaults(), file), nested(given.flags));
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
 * The config that a run was begun with, but for the settings that a resumed run may change and for what is published.
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

/** Whether a resumed run may have this flag. */
export const isResumable = ({ resumable }: Algorithm, { path: [group, name] }: Pick<Flag, 'path'>): boolean =>
  name === undefined ? resumableSettings.includes(group!) : group === 'loop' && resumable.includes(name);

/** The model's name of a run about which nothing is said. */
export const defaultModelName = (algorithm: Algorithm): string =>
  modelName(algorithm, completeConfig(algorithm, defaults()));

function checked(config: RunConfig): RunConfig & { readonly publish: PublishOptions } {
  checkModelName(config.publish!.model);
  return config as RunConfig & { readonly publish: PublishOptions };
}

/** A name made of what is trained. */
const modelName = (algorithm: Algorithm, { environment, ...settings }: RunConfig): string =>
  `${basename(environment, extname(environment))}-${algorithm.name}-${algorithm.variant(settings)}`.toLowerCase();

/** Flags as the part of a config that they give. */
const nested = (flags: readonly GivenFlag[]): GivenConfig =>
  flags.reduce<GivenConfig>(
    (config, { path, value }) =>
      merged(config, path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as GivenConfig),
    {},
  );
