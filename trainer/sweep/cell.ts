/** A cell of a sweep: one combination of the grid's values as a run, with the arguments of `train` that begin it and go on with it. */

import { join } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { Algorithm } from '../run/algorithm.ts';
import { isRecord } from '../run/complete-config.ts';
import type { PublishOptions, RunConfig } from '../run/config.ts';
import { flaglessSettings, type GivenFlag, newConfig, settingFlags } from '../run/given-settings.ts';
import { readRunConfig } from '../run/run-directory.ts';
import { madeModelName, runName } from '../run/run-names.ts';
import type { TextSetting } from '../run/setting.ts';

export type Value = string | number | boolean;
export type Values = Readonly<Record<string, Value>>;

export type Cell = {
  /** From 0, in the order of the file: the last list changes fastest. */
  readonly index: number;
  readonly trainer: Trainer;
  /** All settings, as `train` takes them. */
  readonly config: RunConfig;
  readonly seed: number;
  /** Values of all cells in one row of the summary: all but the seed. */
  readonly group: Readonly<Record<string, string>>;
  readonly runDirectory: string;
  /** The settings of the file as flags of `train` with their values. */
  readonly settings: readonly string[];
  /** Arguments of `hyperpolicy` that begin the run. */
  readonly trainArguments: readonly string[];
  /** To go on with it once it has begun. */
  readonly resumeArguments: readonly string[];
};

/** An algorithm, and its settings: flags by their names without dashes, others by their dotted names. */
export type Trainer = {
  readonly algorithm: Algorithm;
  readonly flags: ReadonlyMap<string, TextSetting>;
  readonly flagless: ReadonlyMap<string, TextSetting>;
};

export const trainerOf = (algorithm: Algorithm): Trainer => ({
  algorithm,
  flags: new Map(settingFlags(algorithm).map((one) => [one.flag.split(/[ ,]/)[0]!.slice(2), one])),
  flagless: flaglessSettings(algorithm),
});

export const takes = ({ flags, flagless }: Trainer, name: string): boolean => flags.has(name) || flagless.has(name);

export type SweepCell = {
  readonly index: number;
  /** Name of the sweep. */
  readonly name: string;
  readonly runs: string;
  /** What is published, and where; nothing if undefined. */
  readonly publish: Pick<PublishOptions, 'store' | 'which'> | undefined;
  readonly trainer: Trainer;
  readonly combination: Values;
  readonly settings: Values;
  /** Those of the grid, in the order that they have in the run's name and in its settings. */
  readonly names: readonly string[];
  /** Threads of the run, where neither grid nor settings give them. */
  readonly threadCount: number;
  /** Directories of runs that were begun with the settings of a cell. */
  readonly begunIn: (cell: Pick<Cell, 'trainer' | 'settings'>) => readonly string[];
};

/** @throws HyperpolicyError invalid_argument: a setting that `train` refuses */
export function cellOf(sweep: SweepCell): Cell {
  const { index, name, runs, publish, trainer, combination, names, threadCount, begunIn } = sweep;
  const { algorithm } = trainer;
  const ordered = Object.fromEntries(names.map((key) => [key, combination[key]!]));
  const { algorithm: _, ...given } = { ...sweep.settings, ...ordered };
  const flags = Object.entries(given).map(([flag, text]) => chosenFlag(trainer, flag, text));
  // The machine's, so no settings of the cell: a sweep goes on where there are more cores.
  const threads = threadsName in given ? [] : [chosenFlag(trainer, threadsName, threadCount)];
  const config = newConfig(algorithm, {
    flags: [...flags, ...threads],
    // The model's name is made below, and fits.
    publish: { model: 'cell' },
    publishDefaults: publish ?? { store: 'unused', which: 'none' },
  });
  const { seed } = config.loop;
  const words = [algorithm.name, ...names.flatMap((key) => partOf(key, combination))].map(wordOf);
  const named = (...first: string[]) => runName(madeModelName([...first, ...words], seed), seed);
  const settings = [algorithm.name, ...textsOf(flags)];
  // A name that moves between grid and settings changes the run's name, and not the run.
  const made = join(runs, named());
  const begun = begunIn({ trainer, settings });
  const runDirectory = begun.includes(made) ? made : (begun[0] ?? made);
  // Sweeps that share a store are models of their own, also where their grids are the same.
  const model = begunModel(runDirectory) ?? named(name);
  return {
    index,
    trainer,
    config,
    seed,
    group: groupOf(combination),
    runDirectory,
    settings,
    ...argumentsOf({ algorithm, flags, threads, publish, runDirectory, model }),
  };
}

/** Of the flag of threads. */
export const threadsName = 'threads';

/** The model that a begun run publishes: it goes on to that one, also where cells had other names when it began. */
function begunModel(runDirectory: string): string | undefined {
  let publish: unknown;
  try {
    publish = readRunConfig(runDirectory).publish;
  } catch {
    // Not begun; or a config that cannot be read, which `train` refuses.
    return undefined;
  }
  if (!isRecord(publish) || publish.which === 'none') return undefined;
  return typeof publish.model === 'string' ? publish.model : undefined;
}

export const groupOf = (combination: Values): Cell['group'] =>
  Object.fromEntries(Object.entries(combination).flatMap(([key, one]) => (key === 'seed' ? [] : [[key, String(one)]])));

type ChosenFlag = GivenFlag & { readonly text: string };

const textsOf = (some: readonly ChosenFlag[]): string[] => some.flatMap(({ flag, text }) => [flag, text]);

/** @throws HyperpolicyError invalid_argument: a value that `train` refuses */
function chosenFlag({ flags, flagless }: Trainer, name: string, given: Value): ChosenFlag {
  const text = String(given);
  const refuse = (expected: string) => invalidArgument({ where: name, expected, actual: JSON.stringify(given) });
  const flag = (flags.get(name) ?? flagless.get(name))!;
  if (flag.choices?.includes(text) === false) throw refuse(flag.choices.join(', '));
  const result = flag.parse(text);
  if ('expected' in result) throw refuse(flag.choices?.join(', ') ?? result.expected);
  const written = flags.has(name) ? { flag: `--${name}`, text } : { flag: '--set', text: `${name}=${text}` };
  return { ...written, path: flag.path, value: result.value };
}

function argumentsOf({
  algorithm,
  flags,
  threads,
  publish,
  runDirectory,
  model,
}: {
  readonly algorithm: Algorithm;
  readonly flags: readonly ChosenFlag[];
  readonly threads: readonly ChosenFlag[];
  readonly publish: SweepCell['publish'];
  readonly runDirectory: string;
  readonly model: string;
}): Pick<Cell, 'trainArguments' | 'resumeArguments'> {
  const { which = 'none' } = publish ?? {};
  const to = publish === undefined ? [] : ['--store', publish.store, '--model', model];
  const common = ['--run', runDirectory, '--publish', which, ...to];
  const length = flags.filter(({ flag }) => flag === '--steps' || flag === '--iterations');
  return {
    trainArguments: ['train', algorithm.name, ...textsOf([...flags, ...threads]), ...common],
    // With the threads that it has: others round otherwise.
    resumeArguments: ['train', algorithm.name, '--resume', ...common, ...textsOf(length)],
  };
}

/** The part of a name that distinguishes a cell from others. The algorithm stands first, and the seed last. */
const partOf = (key: string, combination: Values): Value[] =>
  key === 'algorithm' || key === 'seed' ? [] : [combination[key]!];

/** A value as a part of a name: one that is negative differs from one that is not. */
const wordOf = (part: Value | undefined): string =>
  String(part)
    .replace(/^-(?=[\d.])/, 'minus')
    .replaceAll('_', '-');
