/** The state of one part of a run as a checkpoint keeps it, and how saved arrays are restored. */

import { invalidArgument } from '../../src/contract/errors.ts';
import { mapValues } from '../../src/contract/records.ts';

/** A value that JSON holds exactly. */
export type JsonValue = null | boolean | number | string | readonly JsonValue[] | { readonly [key: string]: JsonValue };

export type StateArray = Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array;

/** Everything that a resumed run needs to continue with the same bits. Arrays may be views: valid until their owner changes them. */
export type SavedState = {
  readonly arrays: Readonly<Record<string, StateArray>>;
  readonly state: JsonValue;
};

/** A copy that does not change with its owner. */
export const copyOf = ({ arrays, state }: SavedState): SavedState => ({
  arrays: mapValues(arrays, (array) => array.slice()),
  state,
});

type Arrays = Readonly<Record<string, StateArray>>;

/**
 * Copies each saved array into the one of the same name: all of them or none.
 * @param where names whose state it is in errors
 * @throws HyperpolicyError invalid_argument: names or lengths differ; nothing is copied then
 */
export function restoreArrays(where: string, own: Arrays, saved: Arrays): void {
  const [names, given] = [Object.keys(own), Object.keys(saved)];
  const missing = names.filter((name) => !Object.hasOwn(saved, name));
  const unknown = given.filter((name) => !Object.hasOwn(own, name));
  if (missing.length + unknown.length > 0) {
    throw refusal(where, `arrays ${names.join(', ')}`, given.join(', ') || 'none');
  }
  for (const name of names) {
    const [expected, actual] = [own[name]!.length, saved[name]!.length];
    if (expected !== actual) throw refusal(`${where}: array "${name}"`, `${expected} values`, `${actual}`);
  }
  for (const name of names) own[name]!.set(saved[name]!);
}

const refusal = (where: string, expected: string, actual: string) =>
  invalidArgument({
    where,
    expected,
    actual,
    remedy: 'The state is of other networks or another environment; restore it with the config that it was saved with',
  });
