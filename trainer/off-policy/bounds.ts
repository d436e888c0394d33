/** Actions and the bounds that the environment gives them. */

import type { TensorSpec } from '../../src/contract/tensor-spec.ts';

/** Clips each value of an action [A], environment units, in place. */
export function clipToBounds(action: Float32Array, { low, high }: TensorSpec): void {
  for (let i = 0; i < action.length; i++) {
    action[i] = Math.min(Math.max(action[i]!, low[i] ?? -Infinity), high[i] ?? Infinity);
  }
}
