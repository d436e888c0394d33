/** The inputs of a graph of the contract, from rows of values, and its outputs as such. */

import { sizeOf } from '../contract/counts.ts';
import type { TensorRule } from '../package/graph-contract.ts';
import type { RowResults } from './rows/row-network.ts';
import { floatTensor, type TensorMap } from './session.ts';

/** Feeds of a graph from the rows of its inputs; zeros for inputs without rows. */
export const feedsOf = (
  rules: readonly TensorRule[],
  rowCount: number,
  rows: Readonly<Record<string, Float32Array | undefined>>,
): TensorMap =>
  Object.fromEntries(
    rules.map(({ name, sizes }) => {
      const values = rows[name] ?? new Float32Array(rowCount * sizeOf(sizes));
      return [name, floatTensor(values, [rowCount, ...sizes])];
    }),
  );

/** The values of a graph's outputs, all of float32. */
export const valuesOf = (outputs: TensorMap): RowResults =>
  Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, data as Float32Array]));
