/** Rows of float32 tensors: the first dimension. */

import { sizeOf } from '../contract/counts.ts';
import { floatTensor, type Tensor, type TensorMap } from './session.ts';

/** Concatenates float32 tensors along the rows. */
export function joinRows(tensors: readonly Tensor[], rowCount: number): Tensor {
  const { rest, width } = rowSizes(tensors[0]!);
  const values = new Float32Array(rowCount * width);
  let at = 0;
  for (const { data } of tensors) {
    values.set(data as Float32Array, at);
    at += data.length;
  }
  return floatTensor(values, [rowCount, ...rest]);
}

/** A view of rows [from, to). */
export function rowsOf(tensor: Tensor, from: number, to: number): Tensor {
  const { rest, width } = rowSizes(tensor);
  return floatTensor((tensor.data as Float32Array).subarray(from * width, to * width), [to - from, ...rest]);
}

/** The shape of one row, and its number of values. */
function rowSizes({ dims }: Tensor): { readonly rest: readonly number[]; readonly width: number } {
  const rest = dims.slice(1);
  return { rest, width: sizeOf(rest) };
}

export const mapTensors = (tensors: TensorMap, map: (tensor: Tensor, name: string) => Tensor): TensorMap =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, map(tensor, name)]));
