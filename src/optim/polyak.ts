/** Polyak averaging: a target network's parameters follow those of its source. */

import type { Arena } from './arena.ts';
import { checkNumber, checkSameLength } from './checks.ts';

export type PolyakOptions = {
  /** The arena that holds both. */
  readonly arena: Arena;
  /** Changed in place. */
  readonly target: Float32Array;
  readonly source: Float32Array;
  /** In [0, 1]: 0 keeps the target, 1 copies the source up to rounding. */
  readonly tau: number;
};

/**
 * target += tau (source - target), one pass.
 * @throws RangeError for a tau out of its range or different lengths; TypeError for arrays of another memory
 */
export function polyak({ arena, target, source, tau }: PolyakOptions): void {
  checkNumber('polyak: tau', tau, { min: 0, max: 1 });
  checkSameLength('polyak: source', source, target);
  arena.kernels.polyak(
    arena.addressOf(target, 'polyak: target'),
    arena.addressOf(source, 'polyak: source'),
    target.length,
    tau,
  );
}
