/** Tensors of messages to checked arrays and back. Everything that a client can get wrong in a tensor is refused here. */

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
  /** Named in errors. */
  readonly model: string;
  /** What may be sent in its place, named where there is none. */
  readonly alternative?: string | undefined;
};

/**
 * A [rows, columnCount] tensor, or one row as [columnCount], copied out of the message (its bytes are unaligned there).
 * @throws HyperpolicyError invalid_argument: absent, of another shape or byte length, empty, over the limit, not finite
 */
export function decodeRows(
  tensor: Tensor | undefined,
  { where, columnCount, rowCountMax, model, alternative }: RowsExpected,
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
  if (rowCount > rowCountMax) throw refuse(`at most ${rowCountMax} rows`, `${rowCount}`, 'Split the batch');
  const valueCount = rowCount * columnCount;
  if (data.length !== valueCount * 4) {
    throw refuse(`${valueCount * 4} bytes of float32 for shape [${listed(shape)}]`, `${data.length}`);
  }
  const values = smallArrayOf(data);
  for (let i = 0; i < valueCount; i++) {
    const value = values[i]!;
    if (value - value !== 0) {
      throw refuse('finite values', `${value} in row ${Math.floor(i / columnCount)}, value ${i % columnCount}`);
    }
    // Adding 0 turns -0 into 0, so equal rows are equal bytes.
    values[i] = value + 0;
  }
  return { values, rowCount };
}

/**
 * A [count] tensor, copied as decodeRows does.
 * @param per what each value belongs to, for errors
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

/** The fields of a Tensor message over `values`, without a copy. */
export const encodeTensor = (values: Float32Array, shape: number[]) => ({ shape, data: bytesOf(values) });

/** The context of a model that takes none, where its weights are generated all the same. */
export const noContext: Rows = { values: new Float32Array(0), rowCount: 1 };

/** Repeats one row so that there are `rowCount`. */
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
  /** A key per distinct row: its bytes. Rows have the same key exactly where their values are equal. */
  readonly keys: readonly string[];
  /** Row -> distinct row, [B]; undefined where there is one distinct row. */
  readonly index: Int32Array | undefined;
};

/** @param columnCount values per row */
export function distinctRows({ values, rowCount }: Rows, columnCount: number): DistinctRows {
  if (rowCount === 1) return { values, keys: [keyOfRow(values)], index: undefined };
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
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

/** The row asked for last, and its key: a client that keeps its context asks for the same one again and again. */
let lastRow = new Float32Array(0);
let lastKey = '';

function keyOfRow(values: Float32Array): string {
  if (!sameValues(values, lastRow)) {
    lastRow = values.slice();
    lastKey = Buffer.from(lastRow.buffer).toString('latin1');
  }
  return lastKey;
}

function sameValues(a: Float32Array, b: Float32Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
