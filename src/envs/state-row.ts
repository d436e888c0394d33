/** States as rows of numbers for every environment: its own fast way, or one made of `save` and `restore`. */

import { invalidArgument } from '../contract/errors.ts';
import type { Env, EnvState, StateRow } from './env.ts';
import { type Sizes, sizeDifference, sizesOf } from './episode-checks.ts';

/**
 * The environment's rows. It must have been reset once, as sizes come from a state. `write` throws invalid_argument if a later state has
 * other arrays.
 */
export const stateRowOf = (env: Env): StateRow => env.stateRow ?? slowStateRow(env);

/** Step count and end, then every array in the order of its name. */
function slowStateRow(env: Env): StateRow {
  const { arrays } = env.save();
  const parts = Object.keys(arrays)
    .sort()
    .map((name) => ({ name, size: arrays[name]!.length }));
  const sizes = sizesOf(arrays);
  return {
    size: parts.reduce((sum, { size }) => sum + size, 2),
    write(out) {
      const state = env.save();
      checkSizes(env.name, sizes, state.arrays);
      out[0] = state.stepCount;
      out[1] = Number(state.ended);
      let at = 2;
      for (const { name, size } of parts) {
        out.set(state.arrays[name]!, at);
        at += size;
      }
    },
    read(row) {
      const saved: Record<string, Float64Array> = {};
      let at = 2;
      for (const { name, size } of parts) {
        saved[name] = Float64Array.from(row.subarray(at, at + size));
        at += size;
      }
      const state: EnvState = { env: env.name, stepCount: row[0]!, ended: row[1] === 1, arrays: saved };
      env.restore(state);
    },
  };
}

function checkSizes(name: string, first: Sizes, arrays: EnvState['arrays']): void {
  const difference = sizeDifference(first, arrays);
  if (difference !== undefined) throw invalidArgument({ where: `${name}.save`, ...difference });
}
