/** The config of a run from what a person gave: flags over the file over defaults, or a run's own where it is resumed. */

import { cpus } from 'node:os';
import { basename, extname, join } from 'node:path';
import type { Command } from 'commander';
import { checkModelName } from '../../src/package/package.ts';
import type { Algorithm } from '../../trainer/run/algorithm.ts';
import { completeConfig, isRecord, merged } from '../../trainer/run/complete-config.ts';
import type { GivenConfig, PublishOptions, RunConfig } from '../../trainer/run/config.ts';
import { readConfigFile } from '../../trainer/run/config-file.ts';
import { readRunConfig } from '../../trainer/run/run-directory.ts';
import { defaultEnvironment, type GivenFlag, givenFlags, type TrainOptions } from './train-flags.ts';

type TrainConfig = { readonly config: RunConfig; readonly runDirectory: string };

/**
 * The config with the directory that the run has.
 * @throws HyperpolicyError: a file that cannot be read, a setting that is unknown or does not fit, no run to resume
 * @throws CommanderError: settings of the run beside `--resume`
 */
export const configOf = (algorithm: Algorithm, options: TrainOptions, command: Command): TrainConfig =>
  options.resume === true ? resumedConfig(algorithm, options, command) : newConfig(algorithm, options, command);

/** What holds where neither a flag nor the file says otherwise, beside the algorithm's own defaults. */
const defaults = () => ({ environment: defaultEnvironment, threadCount: cpus().length });

function newConfig(algorithm: Algorithm, options: TrainOptions, command: Command): TrainConfig {
  const file = options.config === undefined ? {} : readConfigFile(options.config);
  const source = options.config ?? `train ${algorithm.name}`;
  const given = merged(merged(defaults(), file), nested(givenFlags(algorithm, options)));
  const name = modelName(algorithm, completeConfig(algorithm, { ...given, publish: undefined }, source));
  const publish = merged(
    merged({ which: options.publish, store: options.store, model: name }, isRecord(file.publish) ? file.publish : {}),
    publishFlags(options, command),
  );
  const config = completeConfig(algorithm, { ...given, publish }, source);
  checkModelName(config.publish!.model);
  return { config, runDirectory: options.run ?? join('runs', config.publish!.model) };
}

/** Its own settings, but for its length and for what is published, which may be given anew. */
function resumedConfig(algorithm: Algorithm, options: TrainOptions, command: Command): TrainConfig {
  const flags = givenFlags(algorithm, options);
  const isResumable = ({ path: [group, name] }: GivenFlag) => group === 'loop' && algorithm.resumable.includes(name!);
  const refused = options.config === undefined ? flags.find((flag) => !isResumable(flag))?.flag : '--config';
  if (refused !== undefined) {
    command.error(`error: expected --resume without settings of the run, got ${refused}. See --help`, { exitCode: 2 });
  }
  const runDirectory = options.run ?? join('runs', options.model ?? defaultName(algorithm));
  const begun = readRunConfig(runDirectory);
  const source = join(runDirectory, 'config.json');
  const config = completeConfig(algorithm, merged(begun, nested(flags)), source);
  const former = config.publish ?? { which: 'none', store: options.store, model: modelName(algorithm, config) };
  const publish = { ...former, ...publishFlags(options, command) };
  checkModelName(publish.model);
  return { config: { ...config, publish }, runDirectory };
}

/** What is said of publishing on the command line. */
function publishFlags({ publish, store, model }: TrainOptions, command: Command): Partial<PublishOptions> {
  const isGiven = (name: string) => command.getOptionValueSource(name) === 'cli';
  return {
    ...(isGiven('publish') && { which: publish }),
    ...(isGiven('store') && { store }),
    ...(model !== undefined && { model }),
  };
}

const defaultName = (algorithm: Algorithm): string => modelName(algorithm, completeConfig(algorithm, defaults()));

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
