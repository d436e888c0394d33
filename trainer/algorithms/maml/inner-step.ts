/** Adaptation to one task: K policy-gradient steps on all parameters, differentiable through, and its Hessian-vector products. */

import * as tf from '@tensorflow/tfjs-core';
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
    path.push(mapNamed(at, (value, name) => tf.sub(value, tf.mul(rates[name]!, pass(gradients[name]!, order)))));
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

/**
 * The product of a vector with the Hessian J' F J of `divergence(adapted parameters)` in the parameters before adaptation and, where
 * they are learnt, in the rates. J is the derivative of the adaptation and F the Hessian of the divergence in the adapted
 * parameters. That is the whole Hessian where the divergence has no slope: at the policy that it is measured from.
 *
 * One step's derivative is du = v - rate x H v - d rate x g, with H and g those of the inner loss; J' runs the steps backwards.
 */
export function adaptedHessianProduct(
  { inner: innerLoss, divergence }: { readonly inner: Loss; readonly divergence: Loss },
  { parameters, rates }: { readonly parameters: Parameters; readonly rates: Rates },
  vector: { readonly parameters: Parameters; readonly rates: Rates },
  steps: InnerSteps,
): { readonly parameters: Parameters; readonly rates: Rates } {
  const path = adaptationPath(innerLoss, parameters, rates, steps);
  const before = path.slice(0, -1);
  const isSecond = steps.order === 'second';
  const learnt = Object.keys(vector.rates).length > 0;
  const slopes = learnt ? before.map((at) => valueAndGradients(innerLoss, at).gradients) : [];

  let forward = vector.parameters;
  before.forEach((at, k) => {
    const curved = isSecond ? hessianProduct(innerLoss, at, forward) : undefined;
    forward = mapNamed(forward, (v, name) => {
      const moved = curved === undefined ? v : tf.sub(v, tf.mul(rates[name]!, curved[name]!));
      return learnt ? tf.sub(moved, tf.mul(vector.rates[name]!, slopes[k]![name]!)) : moved;
    });
  });

  let back = hessianProduct(divergence, path.at(-1)!, forward);
  let backRates: Rates = mapNamed(vector.rates, (rate) => tf.zerosLike(rate));
  for (let k = before.length - 1; k >= 0; k--) {
    const reached = back;
    backRates = mapNamed(backRates, (sum, name) =>
      tf.sub(sum, sumTo(tf.mul(reached[name]!, slopes[k]![name]!), sum.shape)),
    );
    if (!isSecond) continue;
    const scaled = mapNamed(reached, (v, name) => tf.mul(rates[name]!, v));
    const curved = hessianProduct(innerLoss, before[k]!, scaled);
    back = mapNamed(reached, (v, name) => tf.sub(v, curved[name]!));
  }
  return { parameters: back, rates: backRates };
}

/** A gradient as it is, or as a constant. */
const pass = (gradient: tf.Tensor, order: InnerSteps['order']): tf.Tensor =>
  order === 'second' ? gradient : detach(gradient);

const detach = (x: tf.Tensor): tf.Tensor =>
  tf.customGrad((value) => ({
    value: tf.add(value as tf.Tensor, 0),
    gradFunc: (dy: tf.Tensor) => tf.zerosLike(dy),
  }))(x);

/** All of x, or its sum as one value. */
const sumTo = (x: tf.Tensor, shape: readonly number[]): tf.Tensor =>
  shape.length === 0 ? tf.sum(x) : tf.reshape(x, [...shape]);

const inner = (a: Parameters, b: Parameters): tf.Scalar =>
  Object.entries(a).reduce<tf.Tensor>(
    (sum, [name, value]) => tf.add(sum, tf.sum(tf.mul(value, b[name]!))),
    tf.scalar(0),
  ) as tf.Scalar;

const mapNamed = (tensors: Parameters, fn: (tensor: tf.Tensor, name: string) => tf.Tensor): Record<string, tf.Tensor> =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, fn(tensor, name)]));
