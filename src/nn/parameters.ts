/** Named parameters: what a network needs, and how each starts. A network is a pure function of such a record of tensors. */

import type * as tf from '@tensorflow/tfjs-core';
import type { Random } from '../spec/random.ts';

/** Fills a parameter's first values; `out` has the parameter's size, row-major. */
export type Initialiser = (out: Float32Array, random: Random) => void;

export type ParameterSpec = { readonly shape: readonly number[]; readonly initialise: Initialiser };

/** Name -> spec, in the order in which parameters are stored. */
export type ParameterSpecs = Readonly<Record<string, ParameterSpec>>;

/** Name -> tensor, during a computation. */
export type Parameters = Readonly<Record<string, tf.Tensor>>;

/** The same specs under `prefix.`. */
export const withPrefix = (prefix: string, specs: ParameterSpecs): ParameterSpecs =>
  Object.fromEntries(Object.entries(specs).map(([name, spec]) => [`${prefix}.${name}`, spec]));

/** The parameters under `prefix.`, without it. */
export const under = (prefix: string, parameters: Parameters): Parameters =>
  Object.fromEntries(
    Object.entries(parameters).flatMap(([name, tensor]) =>
      name.startsWith(`${prefix}.`) ? [[name.slice(prefix.length + 1), tensor]] : [],
    ),
  );

export const shapesOf = (specs: ParameterSpecs): Record<string, readonly number[]> =>
  Object.fromEntries(Object.entries(specs).map(([name, { shape }]) => [name, shape]));

export const parameterCount = (specs: ParameterSpecs): number =>
  Object.values(specs).reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);

/** Draws every parameter into its view, in order, from one generator. */
export function initialise(specs: ParameterSpecs, views: Readonly<Record<string, Float32Array>>, random: Random): void {
  for (const [name, spec] of Object.entries(specs)) spec.initialise(views[name]!, random);
}
