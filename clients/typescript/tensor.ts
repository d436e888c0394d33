/** Tensors as a client has them: a Float32Array with its shape; checked where a caller gives one, and where a server does. */

import { bytesOf } from '../../src/contract/bytes.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import { shown } from './checks.ts';

/** Dense float32 values, row-major. */
export type Tensor = { readonly shape: readonly number[]; readonly values: Float32Array };

/** What a method takes: a tensor, one row of values, or rows of equal length. Values are finite in float32. */
export type TensorLike = Tensor | Float32Array | readonly number[] | readonly (readonly number[])[];

const forms = 'a Float32Array, an array of numbers, an array of equally long rows, or { shape, values: Float32Array }';

/** @throws HyperpolicyError invalid_argument: none of these forms; rows that differ in length; a value that float32 has not */
export function toTensor(where: string, given: TensorLike): Tensor {
  if (given instanceof Float32Array) return finite(where, { shape: [given.length], values: given });
  // Without the compiler it may be anything.
  const anything: unknown = given;
  if (Array.isArray(anything)) return Array.isArray(anything[0]) ? ofRows(where, anything) : ofRow(where, anything);
  if (typeof anything !== 'object' || anything === null || !('shape' in anything)) {
    throw invalidArgument({ where, expected: forms, actual: shown(anything), remedy: typedRemedy(anything) });
  }
  return ofShape(where, anything as { shape: unknown; values?: unknown });
}

/** For arrays of other types, which JavaScript does not convert by itself. */
const typedRemedy = (given: unknown): string | undefined =>
  ArrayBuffer.isView(given) && !(given instanceof DataView) ? 'Convert it with Float32Array.from' : undefined;

function ofShape(where: string, given: { shape: unknown; values?: unknown }): Tensor {
  const { shape, values } = given;
  const count = (size: unknown) => typeof size === 'number' && Number.isInteger(size) && size >= 0 && size < 2 ** 32;
  if (!Array.isArray(shape) || shape.length < 1 || shape.length > 2 || !shape.every(count)) {
    const actual = Array.isArray(shape) ? `[${shape.map(shown).join(', ')}]` : shown(shape);
    throw invalidArgument({ where: `${where}.shape`, expected: 'one or two sizes', actual });
  }
  if (!(values instanceof Float32Array)) {
    throw invalidArgument({
      where: `${where}.values`,
      expected: 'a Float32Array',
      actual: values === undefined ? shown(given) : shown(values),
      remedy: values === undefined && 'data' in given ? 'Rename data to values' : typedRemedy(values),
    });
  }
  const size = shape.reduce((product: number, each: number) => product * each, 1);
  if (size !== values.length) {
    const expected = `${size} values for shape [${shape.join(', ')}]`;
    throw invalidArgument({ where: `${where}.values`, expected, actual: `${values.length}` });
  }
  return finite(where, { shape, values });
}

const ofRow = (where: string, row: readonly unknown[]): Tensor =>
  finite(where, { shape: [row.length], values: floats(where, row) }, row);

function ofRows(where: string, rows: readonly unknown[]): Tensor {
  const columnCount = (rows[0] as unknown[]).length;
  for (const [r, row] of rows.entries()) {
    if (!Array.isArray(row)) {
      throw invalidArgument({ where: `${where}[${r}]`, expected: 'an array of numbers', actual: shown(row) });
    }
    if (row.length !== columnCount) {
      throw invalidArgument({
        where,
        expected: `${columnCount} values in every row`,
        actual: `${row.length} in row ${r}`,
      });
    }
  }
  const flat = (rows as unknown[][]).flat();
  return finite(where, { shape: [rows.length, columnCount], values: floats(where, flat, columnCount) }, flat);
}

function floats(where: string, values: readonly unknown[], columnCount?: number): Float32Array {
  // Holes are undefined too, but not to every method of arrays.
  for (let i = 0; i < values.length; i++) {
    if (typeof values[i] === 'number') continue;
    throw invalidArgument({ where: `${where}${at(i, columnCount)}`, expected: 'a number', actual: shown(values[i]) });
  }
  return Float32Array.from(values as number[]);
}

/** @param given the same values before they were float32 */
function finite(where: string, tensor: Tensor, given: ArrayLike<unknown> = tensor.values): Tensor {
  const { shape, values } = tensor;
  const wrong = nonFiniteAt(values);
  if (wrong === -1) return tensor;
  throw invalidArgument({
    where: `${where}${at(wrong, shape[1])}`,
    expected: 'a number that is finite in float32',
    actual: String(given[wrong]),
  });
}

const at = (i: number, columnCount: number | undefined): string =>
  columnCount === undefined ? `[${i}]` : `[${Math.floor(i / columnCount)}][${i % columnCount}]`;

/** @returns -1 where all are finite */
export function nonFiniteAt(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return i;
  return -1;
}

/** Fields of a message, without a copy. */
export const tensorFields = ({ shape, values }: Tensor) => ({
  shape: [...shape],
  data: bytesOf(values),
});
