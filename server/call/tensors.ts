/** Converts tensors of messages to checked arrays and back. Every fault that a client's tensor can have is refused here. */

import { bytesOf } from '../../src/contract/bytes.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { Tensor } from '../../src/gen/hyperpolicy/v1/tensor_pb.ts';
import { smallArrayOf } from '../../src/onnx/small-arrays.ts';

/** B rows of `columnCount` float32 values, row-major; finite, and -0 is 0. */
export type Rows = { readonly values: Float32Array; readonly rowCount: number };

export type RowsExpected = {
  /** Named in errors: `Act observation`. */
  readonly where: string;
  /** Values per row. */
  readonly columnCount: number;
  readonly rowCountMax: number;
  /** Named in the error for more rows: what helps. To split the batch, unless given. */
  readonly rowsRemedy?: string | undefined;
  /** Named in errors. */
  readonly model: string;
  /** Named in the error for a missing tensor: what may be sent instead. */
  readonly alternative?: string | undefined;
};

/**
 * Reads a [rows, columnCount] tensor, or one row as [columnCount]. The values are a copy, since the message's bytes are unaligned.
 * @throws HyperpolicyError invalid_argument: absent, of another shape or byte length, empty, over the limit, not finite
 */
export function decodeRows(
  tensor: Tensor | undefined,
  { where, columnCount, rowCountMax, rowsRemedy = 'Split the batch', model, alternative }: RowsExpected,
): Rows {
  const refuse = (expected: string, actual: string, remedy?: string) =>
    invalidArgument({ where, expected, actual, remedy });
  if (tensor === undefined) {
    const instead = alternative === undefined ? '' : `, or ${alternative}`;
    throw refuse(`a tensor [rows, ${columnCount}] for model "${model}"${instead}`, 'none');
  }
  const { shape, data } = tensor;
  const rowCount = shape.length === 1 ? 1 : shape[0];
  if (shape.length < 1 || shape.length > 2 || rowCount === undefined) {
    throw refuse(`shape [rows, ${columnCount}] or [${columnCount}] for model "${model}"`, `[${listed(shape)}]`);
  }
  if (shape[shape.length - 1] !== columnCount) {
    throw refuse(`${columnCount} values per row for model "${model}"`, `shape [${listed(shape)}]`);
  }
  if (rowCount === 0) throw refuse('at least one row', `shape [${listed(shape)}]`);
  if (rowCount > rowCountMax) throw refuse(`at most ${rowCountMax} rows`, `${rowCount}`, rowsRemedy);
  const valueCount = rowCount * columnCount;
  if (data.length !== valueCount * 4) {
    throw refuse(`${valueCount * 4} bytes of float32 for shape [${listed(shape)}]`, `${data.length}`);
  }
  const values = smallArrayOf(data);
  let faults = 0;
  for (let i = 0; i < valueCount; i++) {
    const value = values[i]!;
    // NaN if the value is not finite. Added up: a branch for each value takes twice the time.
    faults += value - value;
    // Adding 0 turns -0 into 0, so equal rows are equal bytes.
    values[i] = value + 0;
  }
  if (faults !== 0) {
    const i = values.findIndex((value) => !Number.isFinite(value));
    throw refuse('finite values', `${values[i]} in row ${Math.floor(i / columnCount)}, value ${i % columnCount}`);
  }
  return { values, rowCount };
}

/**
 * Reads a [count] tensor, as a copy.
 * @param per named in errors: what each value belongs to
 * @throws HyperpolicyError invalid_argument as decodeRows
 */
export function decodeValues(
  tensor: Tensor | undefined,
  { where, count, per, model }: { where: string; count: number; per: string; model: string },
): Float32Array {
  const shape = tensor?.shape;
  if (shape?.length !== 1 || shape[0] !== count) {
    throw invalidArgument({
      where,
      expected: `shape [${count}], one value per ${per}`,
      actual: shape === undefined ? 'none' : `[${listed(shape)}]`,
    });
  }
  return decodeRows(tensor, { where, columnCount: count, rowCountMax: 1, model }).values;
}

/** The first sizes of a shape, as text of bounded length. */
const listed = (shape: readonly number[]): string =>
  shape.length > 8 ? `${shape.slice(0, 8).join(', ')}, ... (${shape.length} dimensions)` : shape.join(', ');

/** A Tensor message with a view of `values`, not a copy. */
export const encodeTensor = (values: Float32Array, shape: number[]) => ({ shape, data: bytesOf(values) });

/** The context of a policy whose weights are generated although the model takes no context. */
export const noContext: Rows = { values: new Float32Array(0), rowCount: 1 };

/** `rowCount` copies of one row. */
export function repeatRow(row: Float32Array, rowCount: number): Float32Array {
  if (rowCount === 1) return row;
  const values = new Float32Array(row.length * rowCount);
  for (let i = 0; i < rowCount; i++) values.set(row, i * row.length);
  return values;
}

/** Rows without repetition. */
export type DistinctRows = {
  /** [K, columnCount] */
  readonly values: Float32Array;
  /** A key per distinct row: its bytes. Two rows have the same key if and only if their values are equal. */
  readonly keys: readonly string[];
  /** Row -> distinct row, [B]; undefined if there is only one. */
  readonly index: Int32Array | undefined;
};

/** @param columnCount values per row */
export function distinctRows({ values, rowCount }: Rows, columnCount: number): DistinctRows {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  if (rowCount === 1) return { values, keys: [bytes.toString('latin1')], index: undefined };
  const stride = columnCount * 4;
  const position = new Map<string, number>();
  const index = new Int32Array(rowCount);
  const firstRow: number[] = [];
  for (let row = 0; row < rowCount; row++) {
    const key = bytes.toString('latin1', row * stride, (row + 1) * stride);
    let at = position.get(key);
    if (at === undefined) {
      at = firstRow.length;
      position.set(key, at);
      firstRow.push(row);
    }
    index[row] = at;
  }
  const keys = [...position.keys()];
  if (keys.length === rowCount) return { values, keys, index };
  const distinct = new Float32Array(keys.length * columnCount);
  firstRow.forEach((row, at) => {
    distinct.set(values.subarray(row * columnCount, (row + 1) * columnCount), at * columnCount);
  });
  return { values: distinct, keys, index: keys.length === 1 ? undefined : index };
}
