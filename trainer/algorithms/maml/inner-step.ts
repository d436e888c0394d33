/** Adaptation to one task: K policy-gradient steps on all parameters, differentiable through; and Hessian-vector products. */

import * as tf from '@tensorflow/tfjs-core';
import { mapValues } from '../../../src/contract/records.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';

export type InnerSteps = {
  /** K; 0 leaves the parameters as they are. */
  readonly stepCount: number;
  /**
   * `second`: the outer gradient passes through the inner gradients. `first`: it takes them as constants, and so reaches the
   * parameters before adaptation as if they were those after.
   */
  readonly order: 'first' | 'second';
};

type Loss = (parameters: Parameters) => tf.Scalar;

/** Learning rate of each parameter, by name: a scalar or a tensor of the parameter's shape. */
export type Rates = Readonly<Record<string, tf.Tensor>>;

/**
 * theta_(k+1) = theta_k - rate x gradient of the loss at theta_k.
 *
 * Sources: Finn et al. 2017 (MAML), equation 1; Li et al. 2017 (Meta-SGD) for rates that are learnt.
 * @returns theta_0 ... theta_K
 */
export function adaptationPath(
  loss: Loss,
  parameters: Parameters,
  rates: Rates,
  { stepCount, order }: InnerSteps,
): Parameters[] {
  const path = [parameters];
  for (let k = 0; k < stepCount; k++) {
    const at = path[k]!;
    const { gradients } = valueAndGradients(loss, at);
    path.push(mapValues(at, (value, name) => tf.sub(value, tf.mul(rates[name]!, pass(gradients[name]!, order)))));
  }
  return path;
}

/** The parameters after all steps. */
export const adapt = (loss: Loss, parameters: Parameters, rates: Rates, steps: InnerSteps): Parameters =>
  adaptationPath(loss, parameters, rates, steps).at(-1)!;

/** H(x) v for the Hessian H of a function. */
export function hessianProduct(loss: Loss, at: Parameters, vector: Parameters): Parameters {
  const slope: Loss = (x) => inner(valueAndGradients(loss, x).gradients, vector);
  return valueAndGradients(slope, at).gradients;
}

/** A gradient as it is, or as a constant. */
const pass = (gradient: tf.Tensor, order: InnerSteps['order']): tf.Tensor =>
  order === 'second' ? gradient : detach(gradient);

const detach = (x: tf.Tensor): tf.Tensor =>
  tf.customGrad((value) => ({
    value: tf.add(value as tf.Tensor, 0),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }))(x);

/** Sum over all values of the products of those of the same name. */
export const inner = (a: Parameters, b: Parameters): tf.Scalar =>
  Object.entries(a).reduce<tf.Tensor>(
    (sum, [name, value]) => tf.add(sum, tf.sum(tf.mul(value, b[name]!))),
    tf.scalar(0),
  ) as tf.Scalar;
