/** First values of single parameters. Fan-in is the number of inputs of a linear layer. */

import type { Initialiser } from './parameters.ts';

/** U(-bound, bound). */
export const uniform =
  (bound: number): Initialiser =>
  (out, random) => {
    for (let i = 0; i < out.length; i++) out[i] = (2 * random.uniform() - 1) * bound;
  };

/** Every value the same. */
export const constant =
  (value: number): Initialiser =>
  (out) => {
    out.fill(value);
  };

export const zeros: Initialiser = constant(0);
export const ones: Initialiser = constant(1);

export type LinearInitialisers = { readonly weight: Initialiser; readonly bias: Initialiser };

/** The framework's default for linear layers: Kaiming-uniform with a = sqrt 5, that is U(+-1/sqrt(fan_in)) for weights and biases. */
export const defaultLinear = (fanIn: number): LinearInitialisers => ({
  weight: uniform(1 / Math.sqrt(fanIn)),
  bias: uniform(1 / Math.sqrt(fanIn)),
});

/**
 * Kaiming-uniform for ReLU: U(+-sqrt(6 / fan_in)), variance 2 / fan_in.
 *
 * Source: He et al. 2015, equation 10.
 */
export const kaimingUniform = (fanIn: number): Initialiser => uniform(Math.sqrt(6 / fanIn));

/**
 * A primary trunk's linear layer in the `hyperl` scheme: weights U(+-1/(2 sqrt(fan_in))), biases U(+-1/sqrt(fan_in)).
 *
 * Source: Sarafian et al. 2021, released code (Kaiming gain 1/sqrt 12).
 */
export const hyperlTrunk = (fanIn: number): LinearInitialisers => ({
  weight: uniform(1 / (2 * Math.sqrt(fanIn))),
  bias: uniform(1 / Math.sqrt(fanIn)),
});
