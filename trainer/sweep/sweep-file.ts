/** The file of a sweep: lists of values, whose every combination is a cell, a run of its own. */

import { join } from 'node:path';
import { z } from 'zod';
import { HyperpolicyError, invalidArgument, quoted, shownValue } from '../../src/contract/errors.ts';
import { meant } from '../../src/contract/nearest.ts';
import { algorithmNames, loadAlgorithm } from '../algorithms/registry.ts';
import { publishChoices } from '../run/config.ts';
import { readConfigFile } from '../run/config-file.ts';
import { begunAs, begunOrder, begunRuns, requireOwnRuns } from './begun-settings.ts';
import {
  type Cell,
  cellOf,
  groupOf,
  type SweepCell,
  type Trainer,
  takes,
  threadsName,
  trainerOf,
  type Value,
  type Values,
} from './cell.ts';
import { type CellFault, impossibleCells } from './cell-faults.ts';
import { ownFlags } from './own-flags.ts';

const value = z.union([z.string(), z.number(), z.boolean()]);
const values = z.array(value).min(1);
const cellCountMax = 10_000;

/** A sweep publishes nothing where it has no store. */
const publishWhich = z.enum(publishChoices).exclude(['none']);

const sweepSchema = z.strictObject({
  /** Name of the folder with the runs, and of jobs. */
  name: z.string().regex(/^[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?$/),
  /** Folder that the run directories are made in; `runs/NAME` unless given. */
  runs: z.string().min(1).optional(),
  /** The store of published models, as `train --store`; cells publish nothing unless given. */
  store: z.string().min(1).optional(),
  /** Which policies of a cell are published, as `train --publish`: `best` unless given. */
  publish: publishWhich.optional(),
  /**
   * Flags of `train` without their dashes, or dotted names of settings without a flag, with lists of values; each cell is one combination.
   * `algorithm` is one of them.
   */
  grid: z.record(z.string(), values),
  /** The same of every cell; those that only some of the grid's algorithms have are of these alone. */
  settings: z.record(z.string(), value).optional(),
});

export type Sweep = {
  readonly name: string;
  readonly runs: string;
  readonly cells: readonly Cell[];
  /** Whether the file says how many threads a run has. */
  readonly givesThreads: boolean;
};

/**
 * Reads and checks a whole sweep: every cell's settings are those that `train` would take.
 * @param threadCount of each run, where the file does not say
 * @throws HyperpolicyError: a file that cannot be read, a grid that is too large, a flag or value that `train` refuses
 */
export async function readSweep(path: string, threadCount: number): Promise<Sweep> {
  const given = readConfigFile(path);
  const parsed = sweepSchema.safeParse(given);
  if (!parsed.success) throw faultOf(path, given, parsed.error.issues[0]!.path);
  const { name, runs = join('runs', name), grid, settings = {} } = parsed.data;
  const publish = publishOf(path, parsed.data);
  const combinations = combine(path, grid);
  requireOnePlace(path, grid, settings);
  const trainers = new Map<Value, Trainer>();
  for (const one of grid.algorithm!) trainers.set(one, trainerOf(await loadAlgorithm(String(one))));
  const all = [...trainers.values()];
  for (const trainer of all) requireFlags(path, trainer, { ...grid, ...settingsOf(trainer, settings, all) });
  const begun = begunRuns(runs, all);
  const begunIn: SweepCell['begunIn'] = (cell) => begunAs(begun, cell).map(({ directory }) => directory);
  const cellsNamed = (names: readonly string[]): Cell[] => {
    const faults: CellFault[] = [];
    const made = combinations.flatMap((combination, index) => {
      const trainer = trainers.get(combination.algorithm!)!;
      const own = settingsOf(trainer, settings, all);
      try {
        const place = { index, name, runs, publish, begunIn };
        return cellOf({ ...place, trainer, combination, settings: own, names, threadCount });
      } catch (error) {
        if (!(error instanceof HyperpolicyError)) throw error;
        faults.push({ index, group: groupOf(combination), reason: error.message });
        return [];
      }
    });
    if (faults.length > 0) throw impossibleCells(path, combinations.length, faults);
    return made;
  };
  const names = Object.keys(grid);
  const inOrderOfFile = cellsNamed(names);
  const order = begunOrder(begun, inOrderOfFile, names);
  const cells = order === undefined ? inOrderOfFile : cellsNamed(order);
  requireOwnRuns(`${path}: grid`, cells);
  return { name, runs, cells, givesThreads: threadsName in { ...grid, ...settings } };
}

/** @throws HyperpolicyError invalid_argument: something to publish, and no store */
function publishOf(
  path: string,
  { store, publish }: Pick<z.infer<typeof sweepSchema>, 'store' | 'publish'>,
): SweepCell['publish'] {
  if (store !== undefined) return { store, which: publish ?? 'best' };
  if (publish === undefined) return undefined;
  throw invalidArgument({
    where: `${path}: publish`,
    expected: 'store: FOLDER beside it',
    actual: `${publish} alone`,
    remedy: 'Without a store nothing is published',
  });
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
    actual: found === undefined ? 'none' : shownValue(found),
  });
}

function expectedAt([part, flag, index]: readonly PropertyKey[]): string {
  if (part === 'name') return 'at most 42 small letters, digits and dashes';
  if (part === 'runs' || part === 'store') return 'a folder';
  if (part === 'publish') return publishWhich.options.join(', ');
  if (flag === undefined) {
    return `${part === 'grid' ? 'a list of values' : 'a value'} for each flag, such as ${part === 'grid' ? 'seed: [0, 1]' : 'steps: 1e6'}`;
  }
  if (part === 'grid' && index === undefined) return `a list such as ${flag === 'algorithm' ? '[td3, sac]' : '[0, 1]'}`;
  return 'a text, a finite number, true or false';
}

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

/** @throws HyperpolicyError invalid_argument: settings that the grid gives too; also `algorithm`, which every grid has */
function requireOnePlace(path: string, grid: object, settings: object): void {
  const twice = Object.keys(settings).filter((name) => Object.hasOwn(grid, name));
  if (twice.length === 0) return;
  throw invalidArgument({
    where: `${path}: settings`,
    expected: 'names that grid does not have',
    actual: `${twice.join(', ')}, which it has`,
    remedy: 'Give each in one of the two',
  });
}

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
  if (Object.hasOwn(ownFlags, unknown)) {
    throw invalidArgument({
      where: path,
      expected: `flags of "train ${algorithm.name}" but those that a sweep gives itself or has none of: ${Object.keys(ownFlags).join(', ')}`,
      actual: quoted(unknown),
      remedy: ownFlags[unknown],
    });
  }
  const ofPath = [...flags].find(([, { path: at }]) => at.join('.') === unknown)?.[0];
  const suggested = ofPath ?? meant(unknown, ['algorithm', ...flags.keys(), ...flagless.keys()]);
  throw invalidArgument({
    where: path,
    expected: `flags of "train ${algorithm.name}", and dotted names of settings that have none`,
    actual: quoted(unknown),
    remedy: suggested && `Did you mean ${suggested}?`,
  });
}
