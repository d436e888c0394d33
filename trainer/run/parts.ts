/** Joins several saved states into one checkpoint and splits it again. Arrays are named `part/name`. */

import { invalidArgument } from '../../src/contract/errors.ts';
import type { JsonValue, SavedState, StateArray } from './saved-state.ts';

/** @param state of the caller, beside those of the parts */
export function joinParts(parts: Readonly<Record<string, SavedState>>, state: JsonValue): SavedState {
  const arrays: Record<string, StateArray> = {};
  const states: Record<string, JsonValue> = {};
  for (const [part, saved] of Object.entries(parts)) {
    states[part] = saved.state;
    for (const [name, array] of Object.entries(saved.arrays)) arrays[`${part}/${name}`] = array;
  }
  return { arrays, state: { state, parts: states } };
}

/**
 * Splits what {@link joinParts} joined.
 * @throws HyperpolicyError invalid_argument: a part is missing
 */
export function splitParts<Name extends string>(
  joined: SavedState,
  names: readonly Name[],
): { parts: Record<Name, SavedState>; state: JsonValue } {
  const { state, parts } = joined.state as { state: JsonValue; parts: Record<string, JsonValue> };
  const entries = names.map((part) => {
    if (parts?.[part] === undefined) {
      throw invalidArgument({
        where: 'checkpoint',
        expected: `a part "${part}"`,
        actual: Object.keys(parts ?? {}).join(', ') || 'none',
      });
    }
    const arrays = Object.entries(joined.arrays).filter(([name]) => name.startsWith(`${part}/`));
    const own = Object.fromEntries(arrays.map(([name, array]) => [name.slice(part.length + 1), array]));
    return [part, { arrays: own, state: parts[part] }];
  });
  return { parts: Object.fromEntries(entries) as Record<Name, SavedState>, state };
}
