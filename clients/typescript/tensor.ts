/** Tensors as a client has them: a Float32Array with its shape. */

import { invalidArgument } from '../../src/contract/errors.ts';
import type { Tensor as TensorMessage } from '../../src/gen/hyperpolicy/v1/tensor_pb.ts';

/** Dense float32 values, row-major. */
export type Tensor = { readonly shape: readonly number[]; readonly values: Float32Array };

/** What a method takes: a tensor, one row of values, or rows of equal length. */
export type TensorLike = Tensor | Float32Array | readonly number[] | readonly (readonly number[])[];

/** @throws HyperpolicyError invalid_argument where rows differ in length */
export function toTensor(where: string, given: TensorLike): Tensor {
  if (given instanceof Float32Array) return { shape: [given.length], values: given };
  if ('shape' in given) return given;
  const first = given[0];
  if (!Array.isArray(first)) return { shape: [given.length], values: Float32Array.from(given as readonly number[]) };
  const rows = given as readonly (readonly number[])[];
  const columnCount = first.length;
  const uneven = rows.findIndex((row) => row.length !== columnCount);
  if (uneven !== -1) {
    throw invalidArgument({
      where,
      expected: `${columnCount} values in every row`,
      actual: `${rows[uneven]!.length} in row ${uneven}`,
    });
  }
  return { shape: [rows.length, columnCount], values: Float32Array.from(rows.flat()) };
}

/** Fields of a message, without a copy. */
export const tensorFields = ({ shape, values }: Tensor) => ({
  shape: [...shape],
  data: new Uint8Array(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength),
});

/** A copy of a message's values: they are unaligned there. */
export function fromTensorMessage(message: TensorMessage | undefined): Tensor {
  if (message === undefined) return { shape: [0], values: new Float32Array(0) };
  const bytes = new Uint8Array(message.data.length);
  bytes.set(message.data);
  return { shape: message.shape, values: new Float32Array(bytes.buffer) };
}
