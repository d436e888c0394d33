/** What an environment refuses: seeds, options, contexts, actions and saved states that do not fit it. */

import { invalidArgument } from '../contract/errors.ts';
import type { PolicySpecs } from '../contract/tensor-spec.ts';
import type { EnvState, ResetOptions } from './env.ts';

const resetOptionNames: readonly string[] = ['context'];

/** A task by its name and specs, for errors. */
type Named = { readonly name: string; readonly specs: PolicySpecs };

export function checkSeed(where: string, seed: number): void {
  if (Number.isSafeInteger(seed) && seed >= 0) return;
  throw invalidArgument({ where, expected: 'a seed that is an integer in [0, 2^53)', actual: String(seed) });
}

export function checkOptions(name: string, options: ResetOptions): void {
  for (const key of Object.keys(options)) {
    if (resetOptionNames.includes(key)) continue;
    throw invalidArgument({
      where: `${name}.reset`,
      expected: `options among ${resetOptionNames.join(', ')}`,
      actual: `"${key}"`,
    });
  }
}

/** @returns the context of the options, checked; undefined if they have none */
export function givenContext({ name, specs }: Named, { context: given }: ResetOptions): ArrayLike<number> | undefined {
  if (given === undefined) return undefined;
  if (specs.context === null) {
    throw invalidArgument({
      where: `${name}.reset`,
      expected: 'no context, as the environment poses one task only',
      actual: `${given.length} values`,
    });
  }
  const { names } = specs.context;
  const bad = Array.from(given).findIndex((value) => !Number.isFinite(value));
  if (given.length !== names.length || bad >= 0) {
    throw invalidArgument({
      where: `${name}.reset`,
      expected: `a context of ${names.length} finite values (${names.join(', ')})`,
      actual: bad >= 0 ? `${given[bad]} at ${bad}` : `${given.length} values`,
    });
  }
  return given;
}

/** Copies an action's values into `action`. */
export function takeAction({ name, specs }: Named, values: ArrayLike<number>, action: Float64Array): void {
  if (values.length !== action.length) {
    throw invalidArgument({
      where: `${name}.step`,
      expected: `${action.length} action values`,
      actual: String(values.length),
    });
  }
  for (let i = 0; i < action.length; i++) {
    const value = values[i]!;
    // A value minus itself is 0 only if it is finite: cheaper than a call per value.
    if (value - value !== 0) {
      throw invalidArgument({
        where: `${name}.step`,
        expected: `a finite action value ${i} (${specs.action.names[i]})`,
        actual: String(value),
      });
    }
    action[i] = value;
  }
}

/** @param like arrays of the sizes that it must have, by name */
export function checkState(name: string, saved: EnvState, like: Readonly<Record<string, Float64Array>>): void {
  const refuse = (expected: string, actual: string) => invalidArgument({ where: `${name}.restore`, expected, actual });
  if (saved.env !== name) throw refuse(`a state of ${name}`, `one of ${saved.env}`);
  for (const [key, { length }] of Object.entries(like)) {
    const array = saved.arrays[key];
    if (array?.length !== length) throw refuse(`${length} values of "${key}"`, String(array?.length ?? 'none'));
  }
}

/** Lengths of a state's arrays, by name. */
export type Sizes = ReadonlyMap<string, number>;

type Arrays = Readonly<Record<string, Float64Array>>;

export const sizesOf = (arrays: Arrays): Sizes =>
  new Map(Object.entries(arrays).map(([name, { length }]) => [name, length]));

/** The first array of a state that is not as long as in the first state, in words; undefined if there is none. */
export function sizeDifference(
  first: Sizes,
  arrays: Arrays,
): { readonly expected: string; readonly actual: string } | undefined {
  const names = Object.keys(arrays);
  const other = names.find((name) => first.get(name) !== arrays[name]!.length);
  const name = other ?? [...first.keys()].find((known) => arrays[known] === undefined);
  if (name === undefined) return undefined;
  const text = (length: number | undefined) => (length === undefined ? 'none' : `${length} values`);
  return {
    expected: `"${name}" to be as in the first state, ${text(first.get(name))}`,
    actual: text(arrays[name]?.length),
  };
}
