/** What every critic is: an ensemble of Q functions of observation and action. */

import * as tf from '@tensorflow/tfjs-core';
import type { GeneratedLayer } from '../hyper/head.ts';
import { type ParameterSpecs, type Parameters, under, withPrefix } from '../parameters.ts';

/** One Q function. B rows, O observation values, A action values. */
export type QFunction = {
  /** Name in the registry, e.g. `sa-hyper`. */
  readonly architecture: string;
  readonly specs: ParameterSpecs;
  /** Observation [B, O] and action [B, A] to q [B]. */
  q(parameters: Parameters, observation: tf.Tensor2D, action: tf.Tensor2D): tf.Tensor1D;
  /** Present where a primary generates a dynamic network from the observation alone. */
  readonly split?: {
    /** Observation [K, O] to layers with leading K. */
    generate(parameters: Parameters, observation: tf.Tensor2D): GeneratedLayer[];
    /** Layers with leading dimensions (...) and action [..., A] to q [...]. */
    evaluate(layers: readonly GeneratedLayer[], action: tf.Tensor): tf.Tensor;
  };
};

/** Q independent Q functions of one architecture; member i's parameters are under `q<i>.`. */
export type Critic = {
  readonly member: QFunction;
  readonly ensembleSize: number;
  readonly specs: ParameterSpecs;
};

export function createEnsemble(member: QFunction, ensembleSize: number): Critic {
  const specs = Array.from({ length: ensembleSize }, (_, i) => withPrefix(`q${i}`, member.specs));
  return { member, ensembleSize, specs: Object.assign({}, ...specs) };
}

/** The i-th member's q, [B]. */
export const memberQ = (
  { member }: Critic,
  i: number,
  parameters: Parameters,
  observation: tf.Tensor2D,
  action: tf.Tensor2D,
): tf.Tensor1D => member.q(under(`q${i}`, parameters), observation, action);

/** Every member's q, [B, Q]. */
export const ensembleQ = (
  critic: Critic,
  parameters: Parameters,
  observation: tf.Tensor2D,
  action: tf.Tensor2D,
): tf.Tensor2D =>
  tf.stack(
    Array.from({ length: critic.ensembleSize }, (_, i) => memberQ(critic, i, parameters, observation, action)),
    1,
  ) as tf.Tensor2D;
