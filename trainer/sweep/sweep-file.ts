/** The file of a sweep: lists of values, whose every combination is a cell, a run of its own. */

import { join } from 'node:path';
import { z } from 'zod';
import { HyperpolicyError, invalidArgument, quoted } from '../../src/contract/errors.ts';
import { meant } from '../../src/contract/nearest.ts';
import { algorithmNames, loadAlgorithm } from '../algorithms/registry.ts';
import type { Algorithm } from '../run/algorithm.ts';
import type { RunConfig } from '../run/config.ts';
import { readConfigFile } from '../run/config-file.ts';
import { flaglessSettings, type GivenFlag, newConfig, settingFlags } from '../run/given-settings.ts';
import { madeModelName, runName } from '../run/run-names.ts';
import type { TextSetting } from '../run/setting.ts';
import { type CellFault, impossibleCells } from './cell-faults.ts';

const value = z.union([z.string(), z.number(), z.boolean()]);
const values = z.array(value).min(1);
type Value = z.infer<typeof value>;
const cellCountMax = 10_000;

const sweepSchema = z.strictObject({
  /** Name of the folder with the runs, and of jobs. */
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$/),
  /** Folder that the run directories are made in; `runs/NAME` unless given. */
  runs: z.string().min(1).optional(),
  /** The store of published models, as `train --store`; cells publish nothing unless given. */
  store: z.string().min(1).optional(),
  /**
   * Flags of `train` without their dashes, or dotted names of settings without a flag, with lists of values; each cell is one combination.
   * `algorithm` is one of them.
   */
  grid: z.record(z.string(), values),
  /** The same of every cell; those that only some of the grid's algorithms have are of these alone. */
  settings: z.record(z.string(), value).optional(),
});

export type Sweep = { readonly name: string; readonly runs: string; readonly cells: readonly Cell[] };

export type Cell = {
  /** From 0, in the order of the file: the last list changes fastest. */
  readonly index: number;
  readonly algorithm: string;
  /** All settings, as `train` takes them. */
  readonly config: RunConfig;
  readonly seed: number;
  /** Values of all cells in one row of the summary: all but the seed. */
  readonly group: Readonly<Record<string, string>>;
  readonly runDirectory: string;
  /** The settings as flags of `train` with their values. */
  readonly settings: readonly string[];
  /** Arguments of `hyperpolicy` that begin the run. */
  readonly trainArguments: readonly string[];
  /** To go on from its checkpoint. */
  readonly resumeArguments: readonly string[];
};

/**
 * Reads and checks a whole sweep: every cell's settings are those that `train` would take.
 * @throws HyperpolicyError: a file that cannot be read, a grid that is too large, a flag or value that `train` refuses
 */
export async function readSweep(path: string): Promise<Sweep> {
  const given = readConfigFile(path);
  const parsed = sweepSchema.safeParse(given);
  if (!parsed.success) throw faultOf(path, given, parsed.error.issues[0]!.path);
  const { name, runs = join('runs', name), store, grid, settings = {} } = parsed.data;
  const combinations = combine(path, grid);
  const trainers = new Map<Value, Trainer>();
  for (const one of grid.algorithm!) trainers.set(one, trainerOf(await loadAlgorithm(String(one))));
  const all = [...trainers.values()];
  for (const trainer of all) requireFlags(path, trainer, { ...grid, ...settingsOf(trainer, settings, all) });
  const faults: CellFault[] = [];
  const cells = combinations.flatMap((combination, index) => {
    const trainer = trainers.get(combination.algorithm!)!;
    const own = settingsOf(trainer, settings, all);
    try {
      return cellOf({ index, runs, store, trainer, combination, settings: own, grid });
    } catch (error) {
      if (!(error instanceof HyperpolicyError)) throw error;
      faults.push({ index, group: groupOf(combination), reason: error.message });
      return [];
    }
  });
  if (faults.length > 0) throw impossibleCells(path, combinations.length, faults);
  const indexOf = new Map(cells.map(({ runDirectory, index }) => [runDirectory, index]));
  const twice = cells.find(({ runDirectory, index }) => indexOf.get(runDirectory) !== index);
  if (twice !== undefined) {
    throw invalidArgument({
      where: `${path}: grid`,
      expected: 'values that differ',
      actual: `${twice.runDirectory} twice`,
    });
  }
  return { name, runs, cells };
}

/** What is wrong with a file. @param place of the first fault: the names that lead to it */
function faultOf(path: string, given: object, place: readonly PropertyKey[]): HyperpolicyError {
  const known = Object.keys(sweepSchema.shape);
  // First: a name that is mistyped is also one that is missing.
  const unknown = Object.keys(given).find((name) => !known.includes(name));
  if (unknown !== undefined) {
    const suggested = meant(unknown, known);
    const remedy = suggested && `Did you mean ${suggested}?`;
    return invalidArgument({ where: path, expected: known.join(', '), actual: quoted(unknown), remedy });
  }
  const found = place.reduce<unknown>((inside, name) => (inside as Record<PropertyKey, unknown>)?.[name], given);
  return invalidArgument({
    where: `${path}: ${place.join('.')}`,
    expected: expectedAt(place),
    actual: found === undefined ? 'none' : JSON.stringify(found).slice(0, 100),
  });
}

function expectedAt([part, flag, index]: readonly PropertyKey[]): string {
  if (part === 'name') return 'at most 42 small letters, digits and dashes';
  if (part === 'runs' || part === 'store') return 'a folder';
  if (flag === undefined) {
    return `${part === 'grid' ? 'a list of values' : 'a value'} for each flag, such as ${part === 'grid' ? 'seed: [0, 1]' : 'steps: 1e6'}`;
  }
  if (part === 'grid' && index === undefined) return `a list such as ${flag === 'algorithm' ? '[td3, sac]' : '[0, 1]'}`;
  return 'a text, a number, true or false';
}

type Values = Readonly<Record<string, Value>>;

function combine(path: string, grid: Readonly<Record<string, readonly Value[]>>): Values[] {
  const count = Object.values(grid).reduce((product, list) => product * list.length, 1);
  if (grid.algorithm === undefined || count > cellCountMax) {
    throw invalidArgument({
      where: `${path}: grid`,
      expected:
        grid.algorithm === undefined ? `algorithm: [${algorithmNames.join(', ')}]` : `at most ${cellCountMax} cells`,
      actual: grid.algorithm === undefined ? Object.keys(grid).join(', ') || 'nothing' : String(count),
    });
  }
  return Object.entries(grid).reduce<Values[]>(
    (cells, [name, list]) => cells.flatMap((cell) => list.map((one) => ({ ...cell, [name]: one }))),
    [{}],
  );
}

/** An algorithm, and its settings: flags by their names without dashes, others by their dotted names. */
type Trainer = {
  readonly algorithm: Algorithm;
  readonly flags: ReadonlyMap<string, TextSetting>;
  readonly flagless: ReadonlyMap<string, TextSetting>;
};

const trainerOf = (algorithm: Algorithm): Trainer => ({
  algorithm,
  flags: new Map(settingFlags(algorithm).map((one) => [one.flag.split(/[ ,]/)[0]!.slice(2), one])),
  flagless: flaglessSettings(algorithm),
});

const takes = ({ flags, flagless }: Trainer, name: string): boolean => flags.has(name) || flagless.has(name);

/** Those that the algorithm has, and those that none has, which are refused later by name. */
const settingsOf = (trainer: Trainer, settings: Values, all: readonly Trainer[]): Values =>
  Object.fromEntries(
    Object.entries(settings).filter(([name]) => takes(trainer, name) || !all.some((other) => takes(other, name))),
  );

/** @throws HyperpolicyError invalid_argument: a name that the algorithm does not have */
function requireFlags(path: string, trainer: Trainer, given: object): void {
  const { algorithm, flags, flagless } = trainer;
  const unknown = Object.keys(given).find((name) => name !== 'algorithm' && !takes(trainer, name));
  if (unknown === undefined) return;
  const ofPath = [...flags].find(([, { path: at }]) => at.join('.') === unknown)?.[0];
  const suggested = ofPath ?? meant(unknown, ['algorithm', ...flags.keys(), ...flagless.keys()]);
  throw invalidArgument({
    where: path,
    expected: `flags of "train ${algorithm.name}", and dotted names of settings that have none`,
    actual: quoted(unknown),
    remedy: suggested && `Did you mean ${suggested}?`,
  });
}

type SweepCell = {
  readonly index: number;
  readonly runs: string;
  readonly store: string | undefined;
  readonly trainer: Trainer;
  readonly combination: Values;
  readonly settings: Values;
  readonly grid: Readonly<Record<string, readonly Value[]>>;
};

function cellOf(sweep: SweepCell): Cell {
  const { index, runs, store, trainer, combination, grid } = sweep;
  const { algorithm } = trainer;
  const { algorithm: _, ...given } = { ...sweep.settings, ...combination };
  const flags = Object.entries(given).map(([flag, text]) => chosenFlag(trainer, flag, text));
  const which = store === undefined ? 'none' : 'best';
  const publishDefaults = { store: store ?? 'unused', which } as const;
  // The model's name is made below, and fits.
  const config = newConfig(algorithm, { flags, publish: { model: 'cell' }, publishDefaults });
  const { seed } = config.loop;
  const words = [algorithm.name, ...Object.keys(grid).flatMap((key) => partOf(key, combination))].map(wordOf);
  const model = runName(madeModelName(words, seed), seed);
  const runDirectory = join(runs, model);
  return {
    index,
    algorithm: algorithm.name,
    config,
    seed,
    group: groupOf(combination),
    runDirectory,
    ...argumentsOf({ algorithm, flags, store, runDirectory, model }),
  };
}

const groupOf = (combination: Values): Cell['group'] =>
  Object.fromEntries(Object.entries(combination).flatMap(([key, one]) => (key === 'seed' ? [] : [[key, String(one)]])));

type ChosenFlag = GivenFlag & { readonly text: string };

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
  store,
  runDirectory,
  model,
}: {
  readonly algorithm: Algorithm;
  readonly flags: readonly ChosenFlag[];
  readonly store: string | undefined;
  readonly runDirectory: string;
  readonly model: string;
}): Pick<Cell, 'settings' | 'trainArguments' | 'resumeArguments'> {
  const publishing = store === undefined ? ['--publish', 'none'] : ['--store', store, '--model', model];
  const common = ['--run', runDirectory, ...publishing];
  const textsOf = (some: readonly ChosenFlag[]) => some.flatMap(({ flag, text }) => [flag, text]);
  const length = flags.filter(({ flag }) => flag === '--steps' || flag === '--iterations');
  return {
    settings: [algorithm.name, ...textsOf(flags)],
    trainArguments: ['train', algorithm.name, ...textsOf(flags), ...common],
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
