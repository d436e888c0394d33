/** What a cell was begun with, kept in its run's directory: the same cell of an edited sweep must have it too, written in any way. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import { grouped } from '../../src/contract/grouped.ts';
import { replaceFile } from '../../src/files/durable-files.ts';
import { namesIn } from '../run/run-names.ts';
import { listed } from '../run/same-run.ts';
import type { Cell, Trainer } from './cell.ts';
import { spansOf } from './cell-faults.ts';

const settingsFile = 'sweep-cell.txt';

/** Texts by the names that settings have in a sweep's file. */
type Written = ReadonlyMap<string, string>;

export const writeSettings = (cell: Cell): Promise<void> =>
  replaceFile(join(cell.runDirectory, settingsFile), settingsText(cell), 'sweep');

/** @throws HyperpolicyError invalid_argument: the run was begun with other settings, of which the error names those that differ */
export function refuseOtherSettings(cell: Cell): void {
  const { runDirectory, trainer } = cell;
  const begun = begunWith(runDirectory);
  if (begun === undefined) return;
  const now = writtenIn(settingsText(cell));
  const names = [...new Set([...begun.keys(), ...now.keys()])];
  const differing = names.filter((name) => meaningOf(trainer, name, begun) !== meaningOf(trainer, name, now));
  if (differing.length === 0) return;
  // Values of the grid are in the directory's name.
  if (differing.every((name) => Object.hasOwn(cell.group, name))) {
    throw invalidArgument({
      where: `sweep: ${runDirectory}`,
      expected: directoryExpected,
      actual: `that of ${listed(differing, begun)}`,
      remedy: `Give ${orderRemedy}, or the sweep another name`,
    });
  }
  throw invalidArgument({
    where: `sweep: ${runDirectory}`,
    expected: `the settings that it was begun with, ${listed(differing, begun)}`,
    actual: listed(differing, now),
    remedy: 'Write those back, or give the edited sweep another name',
  });
}

const directoryExpected = 'a directory for each run';
const orderRemedy = 'the names of grid in the order that its runs were begun with';

/**
 * @param where the grid, in errors
 * @throws HyperpolicyError invalid_argument: cells of equal settings, or of one directory
 */
export function requireOwnRuns(where: string, cells: readonly Cell[]): void {
  const equal = sharing(cells, meaningOfCell);
  if (equal !== undefined) {
    throw invalidArgument({
      where,
      expected: 'values that differ',
      actual: `cells ${cellsText(equal)} with equal ones`,
    });
  }
  const together = sharing(cells, ({ runDirectory }) => runDirectory);
  if (together === undefined) return;
  throw invalidArgument({
    where,
    expected: directoryExpected,
    actual: `${together[0].runDirectory} for cells ${cellsText(together)}`,
    remedy: `Give values that differ in letters or digits, and ${orderRemedy}`,
  });
}

const sharing = (cells: readonly Cell[], keyOf: (cell: Cell) => string) =>
  [...grouped(cells, keyOf).values()].find(({ length }) => length > 1);

const cellsText = (cells: readonly Cell[]): string => spansOf(cells.map(({ index }) => index));

/** A run that a sweep has begun. */
type BegunRun = { readonly directory: string; readonly written: Written };

/** The runs that sweeps have begun in a folder, by what their settings mean. */
export type BegunRuns = ReadonlyMap<string, readonly BegunRun[]>;

/** @param runs folder of the run directories */
export function begunRuns(runs: string, trainers: readonly Trainer[]): BegunRuns {
  const byName = new Map(trainers.map((trainer) => [trainer.algorithm.name, trainer]));
  const begun = namesIn(runs).flatMap((name) => {
    const directory = join(runs, name);
    const written = begunWith(directory);
    const trainer = byName.get(written?.get('algorithm') ?? '');
    if (written === undefined || trainer === undefined) return [];
    return [{ directory, written, meaning: meaningsOf(trainer, written) }];
  });
  return grouped(begun, ({ meaning }) => meaning);
}

/** Those that were begun with settings that mean the same, wherever in the sweep's file these were. */
export const begunAs = (begun: BegunRuns, cell: Pick<Cell, 'trainer' | 'settings'>): readonly BegunRun[] =>
  begun.get(meaningOfCell(cell)) ?? [];

/**
 * The order of the grid's names that a sweep was begun with: the names of its runs follow it, and go on doing so where the file has another by
 * now. It is that of runs whose settings mean those of a cell.
 * @param names of the grid, as the file orders them
 * @returns undefined where that is the order of the file, or nothing was begun
 */
export function begunOrder(
  begun: BegunRuns,
  cells: readonly Cell[],
  names: readonly string[],
): readonly string[] | undefined {
  const orders = cells
    .flatMap((cell) => begunAs(begun, cell))
    .map(({ written }) => [...written.keys()].filter((name) => names.includes(name)));
  // The algorithm is always first in a run's settings.
  const own = ['algorithm', ...names.filter((name) => name !== 'algorithm')].join();
  return orders.some((order) => order.join() === own) ? undefined : orders[0];
}

function begunWith(runDirectory: string): Written | undefined {
  const path = join(runDirectory, settingsFile);
  return existsSync(path) ? writtenIn(readFileSync(path, 'utf8')) : undefined;
}

const settingsText = ({ settings }: Pick<Cell, 'settings'>): string => `${settings.join(' ')}\n`;

/** Of `td3 --steps 1e3 --trunk 64, 64 --set algorithm.critic.headRank=2`: a value may have spaces. */
function writtenIn(text: string): Written {
  const [algorithm, ...flags] = text.trim().split(/ (?=--[a-z])/);
  return new Map([['algorithm', algorithm!], ...flags.map(writtenFlag)]);
}

function writtenFlag(flag: string): [name: string, text: string] {
  const [, name, text] = (/^--set ([^=]*)=(.*)$/s.exec(flag) ?? /^--(\S+) ?(.*)$/s.exec(flag))!;
  return [name!, text!];
}

/** The same for settings that mean the same, in any order. */
const meaningsOf = (trainer: Trainer, written: Written): string =>
  JSON.stringify([...written.keys()].sort().map((name) => [name, meaningOf(trainer, name, written)]));

const meaningOfCell = ({ trainer, settings }: Pick<Cell, 'trainer' | 'settings'>): string =>
  meaningsOf(trainer, writtenIn(settingsText({ settings })));

/** The value that a text gives, so that `64,64` is `64, 64` and `1e3` is `1000`; the text where it gives none; undefined if it is not there. */
function meaningOf({ flags, flagless }: Trainer, name: string, written: Written): string | undefined {
  const text = written.get(name);
  const result = text === undefined ? undefined : (flags.get(name) ?? flagless.get(name))?.parse(text);
  return result !== undefined && 'value' in result ? JSON.stringify(result.value) : text;
}
