/** The file of a sweep: lists of values, whose every combination is a cell, a run of its own. */

import { join } from 'node:path';
import { z } from 'zod';
import { invalidArgument } from '../../src/contract/errors.ts';
import { meant } from '../../src/contract/nearest.ts';
import { algorithmNames, loadAlgorithm } from '../algorithms/registry.ts';
import type { Algorithm } from '../run/algorithm.ts';
import { readConfigFile } from '../run/config-file.ts';
import { type GivenFlag, newConfig, settingFlags } from '../run/given-settings.ts';
import { runName } from '../run/run-names.ts';

const value = z.union([z.string(), z.number(), z.boolean()], { error: 'a text, a number, true or false' });
const values = z.array(value).min(1);
type Value = z.infer<typeof value>;
const cellCountMax = 10_000;

const sweepSchema = z.strictObject({
  /** Name of the folder with the runs, and of jobs. */
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$/, 'small letters, digits and dashes'),
  /** Folder that the run directories are made in; `runs/NAME` unless given. */
  runs: z.string().min(1).optional(),
  /** The store of published models, as `train --store`; cells publish nothing unless given. */
  store: z.string().min(1).optional(),
  /** Flags of `train` without their dashes, with lists of values; each cell is one combination. `algorithm` is one of them. */
  grid: z.record(z.string(), values),
  /** Flags of every cell that has them. */
  settings: z.record(z.string(), value).optional(),
});

export type Sweep = { readonly name: string; readonly runs: string; readonly cells: readonly Cell[] };

export type Cell = {
  /** From 0, in the order of the file: the last list changes fastest. */
  readonly index: number;
  readonly algorithm: string;
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
  const parsed = sweepSchema.safeParse(readConfigFile(path));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const where = `${path}: ${issue!.path.join('.') || 'sweep'}`;
    throw invalidArgument({ where, expected: 'name, grid and settings of a sweep', actual: issue!.message });
  }
  const { name, runs = join('runs', name), store, grid, settings = {} } = parsed.data;
  const combinations = combine(path, grid);
  const cells: Cell[] = [];
  for (const [index, combination] of combinations.entries()) {
    cells.push(await cellOf(path, { index, runs, store, combination, settings, grid }));
  }
  const twice = cells.find(({ runDirectory }, i) => cells.findIndex((one) => one.runDirectory === runDirectory) < i);
  if (twice !== undefined) {
    throw invalidArgument({
      where: `${path}: grid`,
      expected: 'values that differ',
      actual: `${twice.runDirectory} twice`,
    });
  }
  return { name, runs, cells };
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

type SweepCell = {
  readonly index: number;
  readonly runs: string;
  readonly store: string | undefined;
  readonly combination: Values;
  readonly settings: Values;
  readonly grid: Readonly<Record<string, readonly Value[]>>;
};

async function cellOf(path: string, sweep: SweepCell): Promise<Cell> {
  const { index, runs, store, combination, grid } = sweep;
  const { algorithm: name, ...given } = { ...sweep.settings, ...combination };
  const algorithm = await loadAlgorithm(String(name));
  const flags = Object.entries(given).map(([flag, text]) =>
    chosenFlag(`${path}: cell ${index}`, algorithm, flag, text),
  );
  const model = slug([name, ...Object.keys(grid).flatMap((key) => partOf(key, combination))]);
  const which = store === undefined ? ('none' as const) : ('best' as const);
  const publish = { store: store ?? 'unused', model, which };
  const { seed } = newConfig(algorithm, { flags, publish, publishDefaults: publish }).loop;
  const runDirectory = join(runs, runName(model, seed));
  const group = Object.keys(grid).filter((key) => key !== 'seed');
  return {
    index,
    algorithm: algorithm.name,
    seed,
    group: Object.fromEntries(group.map((key) => [key, String(combination[key])])),
    runDirectory,
    ...argumentsOf({ algorithm, flags, store, runDirectory, model: runName(model, seed) }),
  };
}

type ChosenFlag = GivenFlag & { readonly text: string };

/** @throws HyperpolicyError invalid_argument: a flag or value that `train` refuses */
function chosenFlag(where: string, algorithm: Algorithm, name: string, given: Value): ChosenFlag {
  const text = String(given);
  const refuse = (expected: string, remedy?: string) =>
    invalidArgument({ where: `${where}: ${name}`, expected, actual: JSON.stringify(given), remedy });
  const flags = settingFlags(algorithm).map((one) => ({ ...one, name: one.flag.split(/[ ,]/)[0]!.slice(2) }));
  const flag = flags.find((one) => one.name === name);
  if (flag === undefined) {
    const suggested = meant(name, ['algorithm', ...flags.map((one) => one.name)]);
    throw refuse(`a flag of "train ${algorithm.name}"`, suggested && `Did you mean ${suggested}?`);
  }
  if (flag.choices?.includes(text) === false) throw refuse(flag.choices.join(', '));
  const result = flag.parse(text);
  if ('expected' in result) throw refuse(flag.choices?.join(', ') ?? result.expected);
  return { flag: `--${name}`, path: flag.path, value: result.value, text };
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

const slug = (parts: readonly unknown[]): string =>
  parts
    .map((part) =>
      String(part)
        .replace(/^-(?=[\d.])/, 'minus')
        .toLowerCase()
        .replaceAll(/[^a-z0-9.]+/g, '-')
        .replaceAll(/^[-.]+|[-.]+$/g, ''),
    )
    .join('-');
