/** Named parameters: what a network needs, and how each starts. A network is a pure function of such a record of tensors. */

import type * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../contract/counts.ts';
import type { Random } from '../contract/random.ts';
import { mapValues } from '../contract/records.ts';

/** The values of a parameter that was drawn earlier, by its name from where the specs were written. */
export type Drawn = (name: string) => Float32Array;

/** Fills a parameter's first values; `out` has the parameter's size, row-major. */
export type Initialiser = (out: Float32Array, random: Random, drawn: Drawn) => void;

type ParameterSpec = { readonly shape: readonly number[]; readonly initialise: Initialiser };

/** Name -> spec, in the order in which parameters are stored and drawn. */
export type ParameterSpecs = Readonly<Record<string, ParameterSpec>>;

/** Name -> tensor, during a computation. */
export type Parameters = Readonly<Record<string, tf.Tensor>>;

/** Name -> values, row-major. */
export type ParameterViews = Readonly<Record<string, Float32Array>>;

/** The same specs under `prefix.`. */
export const withPrefix = (prefix: string, specs: ParameterSpecs): ParameterSpecs =>
  Object.fromEntries(
    Object.entries(specs).map(([name, { shape, initialise }]) => [
      `${prefix}.${name}`,
      { shape, initialise: (out, random, drawn) => initialise(out, random, (other) => drawn(`${prefix}.${other}`)) },
    ]),
  );

/** The parameters under `prefix.`, without it. */
export const under = <T>(prefix: string, parameters: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(
    Object.entries(parameters).flatMap(([name, value]) =>
      name.startsWith(`${prefix}.`) ? [[name.slice(prefix.length + 1), value]] : [],
    ),
  );

/** The same record with every name under `prefix.`. */
export const prefixed = <T>(prefix: string, record: Readonly<Record<string, T>>): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [`${prefix}.${name}`, value]));

export const shapesOf = (specs: ParameterSpecs): Record<string, readonly number[]> =>
  mapValues(specs, ({ shape }) => shape);

export const parameterCount = (specs: ParameterSpecs): number =>
  Object.values(specs).reduce((sum, { shape }) => sum + sizeOf(shape), 0);

/** Draws every parameter into its view, in order, from one generator. */
export function initialise(specs: ParameterSpecs, views: ParameterViews, random: Random): void {
  for (const [name, spec] of Object.entries(specs)) spec.initialise(views[name]!, random, (other) => views[other]!);
}

/** Freshly drawn parameters in arrays of their own. */
export function drawParameters(specs: ParameterSpecs, random: Random): Record<string, Float32Array> {
  const views = mapValues(specs, ({ shape }) => new Float32Array(sizeOf(shape)));
  initialise(specs, views, random);
  return views;
}
