/** How far the tensors of two computations are apart, each in its own size: what is wrong in a small tensor shows beside large ones. */

export type Arrays = Readonly<Record<string, Float32Array>>;

export type Farthest = { readonly tensor: string; readonly difference: number };

/** The tensor with the largest |actual - expected| / |expected|, by Euclidean norms; of a tensor that should be 0 throughout, 0 or infinite. */
export function farthestTensor(actual: Arrays, expected: Arrays): Farthest {
  let farthest: Farthest = { tensor: '', difference: -1 };
  for (const [tensor, values] of Object.entries(expected)) {
    const difference = distance(actual[tensor]!, values);
    // NaN is farther than all, and stays.
    if (!(difference <= farthest.difference)) farthest = { tensor, difference };
    if (Number.isNaN(difference)) break;
  }
  return farthest;
}

function distance(actual: Float32Array, expected: Float32Array): number {
  let apart = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    apart += (actual[i]! - expected[i]!) ** 2;
    size += expected[i]! ** 2;
  }
  return apart === 0 ? 0 : Math.sqrt(apart / size);
}

/** Whether all values have the same bits. */
export const areEqual = (one: Arrays, other: Arrays): boolean =>
  Object.entries(one).every(([tensor, values]) => bytes(values).equals(bytes(other[tensor]!)));

const bytes = ({ buffer, byteOffset, byteLength }: Float32Array) => Buffer.from(buffer, byteOffset, byteLength);
