/** The error that names all cells of a sweep that cannot be trained, each with the reason. */

import { type HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';
import { grouped } from '../../src/contract/grouped.ts';

/** Values of a cell by the names of the grid, without the seed. */
type Group = Readonly<Record<string, string>>;

export type CellFault = { readonly index: number; readonly group: Group; readonly reason: string };

/** The error for all cells that cannot be. @param cellCount of the whole sweep */
export function impossibleCells(path: string, cellCount: number, faults: readonly CellFault[]): HyperpolicyError {
  const reasons = grouped(faults, ({ reason }) => reason);
  const texts = [...reasons].map(([reason, same]) => {
    const shared = sharedOf(same.map(({ group }) => group));
    return `${spansOf(same.map(({ index }) => index))}${shared === '' ? '' : ` (${shared})`}: ${reason}`;
  });
  return invalidArgument({
    where: path,
    expected: 'cells that can be trained',
    actual: `${faults.length} of ${cellCount} that cannot. Cells ${texts.join('; cells ')}`,
    remedy: 'Combinations that do not go together need sweeps of their own',
  });
}

/** The values that all have. */
function sharedOf([first, ...others]: readonly Group[]): string {
  const shared = Object.entries(first!).filter(([name, value]) => others.every((other) => other[name] === value));
  return shared.map(([name, value]) => `${name}: ${value}`).join(', ');
}

/** `0 to 2, 5` of 0, 1, 2, 5. */
export function spansOf(indices: readonly number[]): string {
  const spans: [first: number, last: number][] = [];
  for (const index of indices) {
    const span = spans.at(-1);
    if (span !== undefined && index === span[1] + 1) span[1] = index;
    else spans.push([index, index]);
  }
  return spans.map(([first, last]) => (first === last ? `${first}` : `${first} to ${last}`)).join(', ');
}
