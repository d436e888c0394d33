/** What a cell was begun with, kept in its run's directory: the same cell of an edited sweep must have it too, written in any way. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { invalidArgument } from '../../src/contract/errors.ts';
import { replaceFile } from '../../src/files/durable-files.ts';
import type { Cell, Trainer } from './cell.ts';

const settingsFile = 'sweep-cell.txt';

/** Texts by the names that settings have in a sweep's file. */
type Written = ReadonlyMap<string, string>;

export const writeSettings = (cell: Cell): Promise<void> =>
  replaceFile(join(cell.runDirectory, settingsFile), settingsText(cell), 'sweep');

/** @throws HyperpolicyError invalid_argument: the run was begun with other settings, of which the error names those that differ */
export function refuseOtherSettings(cell: Cell): void {
  const { runDirectory, trainer } = cell;
  const path = join(runDirectory, settingsFile);
  if (!existsSync(path)) return;
  const [begun, now] = [readFileSync(path, 'utf8'), settingsText(cell)].map(writtenIn) as [Written, Written];
  const names = [...new Set([...begun.keys(), ...now.keys()])];
  const differing = names.filter((name) => meaningOf(trainer, name, begun) !== meaningOf(trainer, name, now));
  if (differing.length === 0) return;
  const shown = (all: Written) =>
    differing.map((name) => (all.has(name) ? `${name}: ${all.get(name)}` : `no ${name}`)).join(', ');
  throw invalidArgument({
    where: `sweep: ${runDirectory}`,
    expected: `the settings that it was begun with, ${shown(begun)}`,
    actual: shown(now),
    remedy: 'Write those back, or give the edited sweep another name',
  });
}

const settingsText = ({ settings }: Cell): string => `${settings.join(' ')}\n`;

/** Of `td3 --steps 1e3 --trunk 64, 64 --set algorithm.critic.headRank=2`: a value may have spaces. */
function writtenIn(text: string): Written {
  const [algorithm, ...flags] = text.trim().split(/ (?=--[a-z])/);
  return new Map([['algorithm', algorithm!], ...flags.map(writtenFlag)]);
}

function writtenFlag(flag: string): [name: string, text: string] {
  const [, name, text] = (/^--set ([^=]*)=(.*)$/s.exec(flag) ?? /^--(\S+) ?(.*)$/s.exec(flag))!;
  return [name!, text!];
}

/** The value that a text gives, so that `64,64` is `64, 64` and `1e3` is `1000`; the text where it gives none; undefined if it is not there. */
function meaningOf({ flags, flagless }: Trainer, name: string, written: Written): string | undefined {
  const text = written.get(name);
  const result = text === undefined ? undefined : (flags.get(name) ?? flagless.get(name))?.parse(text);
  return result !== undefined && 'value' in result ? JSON.stringify(result.value) : text;
}
