/**
 * Runs a small network on the calling thread over tensors that are made once per number of rows: for a run of some
 * microseconds, making and collecting tensors costs as much as computing.
 */

import { floatTensor, type Session, type TensorMap } from '../src/onnx/session.ts';
import { rowIndexTensor } from './row-index.ts';

/** A tensor [rows, ...sizes] by name. */
export type RowTensor = { readonly name: string; readonly sizes: readonly number[] };

export type SmallNetwork = {
  /**
   * @param rows values per input, [rowCount, ...]; zeros where one is undefined
   * @param weights feeds that are taken as they are
   * @param index row -> context, where the network takes one
   * @returns values per output, the caller's own
   */
  run(
    rowCount: number,
    rows: Readonly<Record<string, Float32Array | undefined>>,
    weights?: TensorMap,
    index?: Int32Array,
  ): Record<string, Float32Array>;
};

export type SmallNetworkOptions = {
  readonly session: Session;
  readonly inputs: readonly RowTensor[];
  readonly outputs: readonly RowTensor[];
  readonly takesIndex: boolean;
};

/** Tensors are kept for up to so many rows. */
const keptRowCountMax = 64;

export function createSmallNetwork({ session, inputs, outputs, takesIndex }: SmallNetworkOptions): SmallNetwork {
  const kept: ({ readonly feeds: TensorMap; readonly fetches: TensorMap } | undefined)[] = [];

  const tensorsFor = (tensors: readonly RowTensor[], rowCount: number): TensorMap =>
    Object.fromEntries(
      tensors.map(({ name, sizes }) => {
        const size = sizes.reduce((product, length) => product * length, rowCount);
        return [name, floatTensor(new Float32Array(size), [rowCount, ...sizes])];
      }),
    );

  return {
    run(rowCount, rows, weights, index) {
      const isKept = rowCount <= keptRowCountMax;
      const { feeds, fetches } = kept[rowCount] ?? {
        feeds: tensorsFor(inputs, rowCount),
        fetches: tensorsFor(outputs, rowCount),
      };
      if (isKept) kept[rowCount] = { feeds, fetches };
      for (const { name } of inputs) {
        const values = feeds[name]!.data as Float32Array;
        const given = rows[name];
        if (given === undefined) values.fill(0);
        else values.set(given);
      }
      if (weights !== undefined) Object.assign(feeds, weights);
      if (takesIndex) feeds.index = rowIndexTensor(index, rowCount);
      session.run(feeds, fetches);
      const results: Record<string, Float32Array> = {};
      for (const { name } of outputs) {
        const values = fetches[name]!.data as Float32Array;
        results[name] = isKept ? values.slice() : values;
      }
      return results;
    },
  };
}
