/** Gradient clipping by the global norm: over all arrays together, so that the direction stays. */

import type { Arena } from './arena.ts';
import { checkNumber } from './checks.ts';

/** Keeps the quotient finite for zero gradients; PyTorch's value. */
const epsilon = 1e-6;

/**
 * Scales gradients down, in place, so that their common Euclidean norm is at most `normMax`: by min(1, normMax / (norm + 1e-6)).
 * Where the norm is not finite nothing is scaled; the caller decides what to do about it.
 * @param gradients flat arrays, each with the arena that holds it
 * @returns the norm before scaling, summed in float64
 * @throws RangeError if `normMax` is not above 0; TypeError for an array of another memory
 */
export function clipByGlobalNorm({
  gradients,
  normMax,
}: {
  gradients: readonly { readonly arena: Arena; readonly array: Float32Array }[];
  normMax: number;
}): number {
  checkNumber('clipByGlobalNorm: normMax', normMax, { above: 0 });
  let sum = 0;
  for (const { arena, array } of gradients) {
    sum += arena.kernels.sumOfSquares(arena.addressOf(array, 'clipByGlobalNorm: gradients'), array.length);
  }
  const norm = Math.sqrt(sum);
  const factor = normMax / (norm + epsilon);
  if (factor < 1 && Number.isFinite(norm)) {
    for (const { arena, array } of gradients) arena.kernels.scale(array.byteOffset, array.length, factor);
  }
  return norm;
}
