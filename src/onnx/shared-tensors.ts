/**
 * Tensors in shared memory: one block holds the tensors of a run one after the other, and a small list says where each lies.
 * ONNX Runtime refuses tensors over shared memory, so each side copies between the block and arrays of its own.
 */

import { Tensor } from 'onnxruntime-common';
import type { TensorInfo } from './session.ts';

type Data = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/** Where a tensor lies in a block; plain data that crosses threads. */
export type TensorPlace = {
  readonly name: string;
  readonly dtype: TensorInfo['dtype'];
  readonly dims: readonly number[];
  readonly byteOffset: number;
  readonly byteLength: number;
};

/** Tensors begin at multiples of a cache line. */
const alignmentBytes = 64;
const arrays = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array };

/** Places named tensors one after the other. */
export function placeTensors(tensors: Readonly<Record<string, Tensor>>): { places: TensorPlace[]; byteLength: number } {
  let byteLength = 0;
  const places = Object.entries(tensors).map(([name, { type, dims, data }]) => {
    const place = { name, dtype: type as TensorPlace['dtype'], dims, byteOffset: byteLength, byteLength: bytes(data) };
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

/** Copies the tensors of a block into arrays of this thread, or into those of `into` where it names them. */
export function readTensors(
  block: SharedArrayBuffer,
  places: readonly TensorPlace[],
  into: Readonly<Record<string, Tensor>> = {},
): Record<string, Tensor> {
  return Object.fromEntries(
    places.map((place) => {
      const { name, dtype, dims, byteOffset, byteLength } = place;
      const given = into[name];
      if (given !== undefined) refuseOther(given, place);
      const tensor = given ?? new Tensor(dtype, new arrays[dtype](byteLength / width(dtype)), dims);
      const { buffer, byteOffset: start } = tensor.data as Data;
      new Uint8Array(buffer, start, byteLength).set(new Uint8Array(block, byteOffset, byteLength));
      return [name, tensor];
    }),
  );
}

const width = (dtype: TensorPlace['dtype']): number => arrays[dtype].BYTES_PER_ELEMENT;

const bytes = (data: Tensor['data']): number => (data as Data).byteLength;

function refuseOther({ type, dims, data }: Tensor, place: TensorPlace): void {
  if (type === place.dtype && bytes(data) === place.byteLength) return;
  throw new Error(
    `output "${place.name}": expected a tensor for ${place.dtype} [${place.dims}], got ${type} [${dims}]`,
  );
}
