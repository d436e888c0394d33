/** MAML's losses as pure functions of one task's steps. Means are weighted sums, so that absent steps have weight 0. */

import * as tf from '@tensorflow/tfjs-core';
import { gaussianKl } from '../../../src/nn/distributions.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { logProbOf, type Policy, policyOutput } from '../../../src/nn/policies/policy.ts';
import { checkShapes } from '../../../src/nn/shapes.ts';
import { valueAndGradients } from '../../../src/trace/differentiate.ts';
import { inner } from './inner-step.ts';

/** N steps of one task, its episodes below each other; actions normalised and unclipped. */
export type TaskSteps = {
  readonly observation: tf.Tensor2D; // [N, O]
  readonly action: tf.Tensor2D; // [N, A]
  /** Normalised advantage / count of steps; 0 for a step that is absent. */
  readonly coefficient: tf.Tensor1D; // [N]
};

/** Earlier outputs of a policy for the same steps, as constants. */
export type OldPolicy = {
  readonly logProb: tf.Tensor1D; // [N]
  readonly mean: tf.Tensor2D; // [N, A]
  readonly logStd: tf.Tensor1D; // [A]
};

/** A policy in one task. */
export type TaskPolicy = {
  readonly policy: Policy;
  /** [1, C]; undefined if the policy has none. */
  readonly context: tf.Tensor2D | undefined;
};

const outputOf = ({ policy, context }: TaskPolicy, parameters: Parameters, observation: tf.Tensor2D) =>
  policyOutput(policy, parameters, observation, context);

/**
 * A policy's outputs for the steps, to be used as {@link OldPolicy}.
 * @throws HyperpolicyError invalid_argument: a rank or a size that differs
 */
export function evaluateSteps(task: TaskPolicy, parameters: Parameters, { observation, action }: TaskSteps): OldPolicy {
  checkShapes('MAML steps', { observation: ['N', 'O'], action: ['N', 'A'] }, { observation, action });
  const output = outputOf(task, parameters, observation);
  const logProb = logProbOf(task.policy, output, action) as tf.Tensor1D;
  return { logProb, mean: output.mean as tf.Tensor2D, logStd: output.logStd as tf.Tensor1D };
}

/**
 * -mean of log pi(a) x advantage: the policy-gradient loss of the inner step.
 *
 * Source: Finn et al. 2017, algorithm 3.
 * @throws HyperpolicyError invalid_argument: a rank or a size that differs, e.g. coefficients of [N, 1]
 */
export function policyGradientLoss(task: TaskPolicy, parameters: Parameters, steps: TaskSteps): tf.Scalar {
  const { logProb } = evaluateSteps(task, parameters, steps);
  const { coefficient } = steps;
  checkShapes('MAML policy-gradient loss', { coefficient: ['N'], logProb: ['N'] }, { coefficient, logProb });
  return tf.neg(tf.sum(tf.mul(coefficient, logProb)));
}

/**
 * -mean of pi(a) / pi_old(a) x advantage: the outer loss. At the old parameters it is 0, as normalised advantages have mean 0, and its
 * gradient is that of {@link policyGradientLoss}.
 *
 * Source: Schulman et al. 2015 (TRPO), equation 14.
 * @throws HyperpolicyError invalid_argument as policyGradientLoss
 */
export function surrogateLoss(task: TaskPolicy, parameters: Parameters, steps: TaskSteps, old: OldPolicy): tf.Scalar {
  const { logProb } = evaluateSteps(task, parameters, steps);
  const { coefficient } = steps;
  const given = { coefficient, logProb, oldLogProb: old.logProb };
  checkShapes('MAML surrogate loss', { coefficient: ['N'], logProb: ['N'], oldLogProb: ['N'] }, given);
  return tf.neg(tf.sum(tf.mul(coefficient, tf.exp(tf.sub(logProb, old.logProb)))));
}

/**
 * Mean over the steps of KL(new || old), summed over action values.
 * @param weight 1 / count of steps, 0 for a step that is absent, [N]
 * @throws HyperpolicyError invalid_argument as policyGradientLoss
 */
export function meanKl(
  task: TaskPolicy,
  parameters: Parameters,
  { observation, weight }: { readonly observation: tf.Tensor2D; readonly weight: tf.Tensor1D },
  old: Pick<OldPolicy, 'mean' | 'logStd'>,
): tf.Scalar {
  const { mean, logStd } = outputOf(task, parameters, observation);
  checkShapes(
    'MAML divergence',
    { observation: ['N', 'O'], weight: ['N'], mean: ['N', 'A'], oldMean: ['N', 'A'], oldLogStd: ['A'] },
    { observation, weight, mean, oldMean: old.mean, oldLogStd: old.logStd },
  );
  return tf.sum(tf.mul(weight, gaussianKl({ mean, logStd: logStd! }, old)));
}

/**
 * The product of a direction with the Hessian of {@link meanKl} at the policy that it is measured from. There the divergence has no
 * slope in what the policy gives, so that is D' M D, with D the derivative of mean and log-std, and M the divergence's second
 * derivatives in them: weight / variance for a mean, twice the sum of the weights for a log-std.
 * @throws HyperpolicyError invalid_argument as policyGradientLoss
 */
export function divergenceProduct(
  task: TaskPolicy,
  parameters: Parameters,
  { observation, weight }: { readonly observation: tf.Tensor2D; readonly weight: tf.Tensor1D },
  direction: Parameters,
): Parameters {
  checkShapes('MAML divergence', { observation: ['N', 'O'], weight: ['N'] }, { observation, weight });
  const outputs = (at: Parameters): Parameters => {
    const { mean, logStd } = outputOf(task, at, observation);
    return { mean, logStd: logStd! };
  };
  const back = (cotangent: Parameters) =>
    valueAndGradients((at) => inner(outputs(at), cotangent), parameters).gradients;
  const { mean, logStd } = outputs(parameters);
  // D' u is linear in u, so its slope along the direction is D x direction, wherever u is.
  const zero = { mean: tf.zerosLike(mean!), logStd: tf.zerosLike(logStd!) };
  const tangent = valueAndGradients((u) => inner(back(u), direction), zero).gradients;
  const perVariance = tf.mul(tf.expandDims(weight, 1), tf.exp(tf.mul(logStd!, -2)));
  return back({
    mean: tf.mul(tangent.mean!, perVariance),
    logStd: tf.mul(tangent.logStd!, tf.mul(tf.sum(weight), 2)),
  });
}
