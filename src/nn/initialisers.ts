/** First values of parameters. Fan-in is the number of inputs of a linear layer. */

import type { Initialiser } from './parameters.ts';

/** U(-bound, bound). */
export const uniform =
  (bound: number): Initialiser =>
  (out, random) => {
    for (let i = 0; i < out.length; i++) out[i] = (2 * random.uniform() - 1) * bound;
  };

export const zeros: Initialiser = (out) => {
  out.fill(0);
};

export type LinearInitialisers = { readonly weight: Initialiser; readonly bias: Initialiser };

/** PyTorch's default for linear layers: Kaiming-uniform with a = sqrt 5, that is U(+-1/sqrt(fan_in)) for weights and biases. */
export const defaultLinear = (fanIn: number): LinearInitialisers => ({
  weight: uniform(1 / Math.sqrt(fanIn)),
  bias: uniform(1 / Math.sqrt(fanIn)),
});

/**
 * A primary trunk's linear layer in the `hyperl` scheme: weights U(+-1/(2 sqrt(fan_in))), biases U(+-1/sqrt(fan_in)).
 *
 * Source: Sarafian et al. 2021, released code (Kaiming gain 1/sqrt 12).
 */
export const hyperlTrunk = (fanIn: number): LinearInitialisers => ({
  weight: uniform(1 / (2 * Math.sqrt(fanIn))),
  bias: uniform(1 / Math.sqrt(fanIn)),
});

/**
 * A head in the `hyperl` scheme: weights U(+-bound) with bound 0.05 for the first dynamic layer and 0.008 for the last; biases 0.
 *
 * Source: Sarafian et al. 2021, released code.
 */
export const hyperlHead = (bound: number): LinearInitialisers => ({ weight: uniform(bound), bias: zeros });
