/** Actions that no policy chose. */

import { clipToBounds, float32Bounds } from '../../src/contract/bounds.ts';
import type { Random } from '../../src/contract/random.ts';
import { specSize, type TensorSpec } from '../../src/contract/tensor-spec.ts';

/** Fills rows of actions. @param actions [N, A], environment units */
export type DrawActions = (random: Random, actions: Float32Array) => void;

/** Uniform within the bounds; a value that lacks one is standard normal, clipped to the one that it has. */
export function createActionDraws(spec: TensorSpec): DrawActions {
  const { low, high } = spec;
  const size = specSize(spec);
  const bounds = float32Bounds(spec);
  return (random, actions) => {
    for (let i = 0; i < actions.length; i++) {
      const [from, to] = [low[i % size] ?? null, high[i % size] ?? null];
      actions[i] = from === null || to === null ? random.normal() : from + (to - from) * random.uniform();
    }
    clipToBounds(actions, bounds);
  };
}
