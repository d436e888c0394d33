/**
 * Tensors in shared memory: one block holds the tensors of a run one after the other, and a small list says where each lies.
 * ONNX Runtime refuses tensors over shared memory, so each side copies between the block and arrays of its own.
 */

import { Tensor } from 'onnxruntime-common';
import { arrayTypes, type Data, type Dtype } from './graph.ts';

/** Where a tensor lies in a block; plain data that crosses threads. */
export type TensorPlace = {
  readonly name: string;
  readonly dtype: Dtype;
  readonly dims: readonly number[];
  readonly byteOffset: number;
  readonly byteLength: number;
};

/** Tensors begin at multiples of a cache line. */
const alignmentBytes = 64;

/** Places named tensors one after the other. */
export function placeTensors(tensors: Readonly<Record<string, Tensor>>): { places: TensorPlace[]; byteLength: number } {
  let byteLength = 0;
  const places = Object.entries(tensors).map(([name, { type, dims, data }]) => {
    const place = { name, dtype: type as Dtype, dims, byteOffset: byteLength, byteLength: bytes(data) };
    byteLength += Math.ceil(place.byteLength / alignmentBytes) * alignmentBytes;
    return place;
  });
  return { places, byteLength };
}

/** A block of at least `byteLength` bytes: the present one where it is large enough, else a new one with room to grow. */
export function blockOf(present: SharedArrayBuffer, byteLength: number): SharedArrayBuffer {
  if (present.byteLength >= byteLength) return present;
  return new SharedArrayBuffer(2 ** Math.ceil(Math.log2(byteLength)));
}

/** Copies tensors into their places. */
export function writeTensors(
  block: SharedArrayBuffer,
  places: readonly TensorPlace[],
  tensors: Readonly<Record<string, Tensor>>,
): void {
  for (const { name, byteOffset, byteLength } of places) {
    const { buffer, byteOffset: start } = tensors[name]!.data as Data;
    new Uint8Array(block, byteOffset, byteLength).set(new Uint8Array(buffer, start, byteLength));
  }
}

type ArrayView = new (block: SharedArrayBuffer, byteOffset: number, length: number) => Data;

/** The tensors of a block without a copy: what they hold changes when the block is used again. */
export function viewTensors(block: SharedArrayBuffer, places: readonly TensorPlace[]): Record<string, Tensor> {
  return Object.fromEntries(
    places.map(({ name, dtype, dims, byteOffset, byteLength }) => [
      name,
      new Tensor(dtype, new (arrayTypes[dtype] as ArrayView)(block, byteOffset, byteLength / width(dtype)), dims),
    ]),
  );
}

/** Tensors in memory of this thread that hold the same. */
export const copyTensors = (tensors: Readonly<Record<string, Tensor>>): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { type, dims, data }]) => {
      const copy = new arrayTypes[type as Dtype](data as never);
      return [name, new Tensor(type as Dtype, copy, dims)];
    }),
  );

const width = (dtype: Dtype): number => arrayTypes[dtype].BYTES_PER_ELEMENT;

const bytes = (data: Tensor['data']): number => (data as Data).byteLength;
