/** MAML's losses as pure functions of one task's steps. Means are weighted sums, so that absent steps have weight 0. */

import * as tf from '@tensorflow/tfjs-core';
import { gaussianKl } from '../../../src/nn/distributions.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { logProbOf, type Policy, policyOutput } from '../../../src/nn/policies/policy.ts';
import { checkShapes } from '../../../src/nn/shapes.ts';
import { hessianProduct } from './inner-step.ts';

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
  const logRatio = tf.sub(logProb, old.logProb);
  // An absent step lies anywhere, also where the ratio is infinite, and 0 times that is NaN.
  const ofPresent = tf.where(tf.equal(coefficient, 0), tf.zerosLike(logRatio), logRatio);
  return tf.neg(tf.sum(tf.mul(coefficient, tf.exp(ofPresent))));
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
 * The product of a direction with the Hessian of {@link policyGradientLoss}, as that of its expansion: second derivatives in the mean and the
 * log-std are known, so that nothing of a density is differentiated.
 * @throws HyperpolicyError invalid_argument as policyGradientLoss
 */
export function policyGradientProduct(
  task: TaskPolicy,
  parameters: Parameters,
  { observation, action, coefficient }: TaskSteps,
  direction: Parameters,
): Parameters {
  checkShapes(
    'MAML policy-gradient product',
    { observation: ['N', 'O'], action: ['N', 'A'], coefficient: ['N'] },
    { observation, action, coefficient },
  );
  const { mean, logStd } = outputOf(task, parameters, observation);
  const precision = tf.exp(tf.mul(logStd!, -2));
  const weight = tf.mul(tf.expandDims(coefficient, 1), precision); // [N, A]
  const difference = tf.sub(action, mean);
  const slope = tf.neg(tf.mul(weight, difference));
  return expansionProduct(task, parameters, observation, {
    derivatives: {
      mean: slope,
      meanMean: weight,
      meanLogStd: tf.mul(slope, -2),
      logStdLogStd: tf.mul(tf.sum(tf.mul(slope, difference), 0), -2),
    },
    direction,
  });
}

/**
 * The product of a direction with the Hessian of {@link meanKl} at the policy that it is measured from. There the divergence has no
 * slope in what the policy gives, and the second derivatives are weight / variance for a mean, twice the sum of the weights for a log-std.
 * @throws HyperpolicyError invalid_argument: a rank or a size that differs
 */
export function divergenceProduct(
  task: TaskPolicy,
  parameters: Parameters,
  { observation, weight }: { readonly observation: tf.Tensor2D; readonly weight: tf.Tensor1D },
  direction: Parameters,
): Parameters {
  checkShapes('MAML divergence', { observation: ['N', 'O'], weight: ['N'] }, { observation, weight });
  const logStd = outputOf(task, parameters, observation).logStd!;
  return expansionProduct(task, parameters, observation, {
    derivatives: {
      meanMean: tf.mul(tf.expandDims(weight, 1), tf.exp(tf.mul(logStd, -2))),
      logStdLogStd: tf.mul(tf.sum(weight), 2),
    },
    direction,
  });
}

/**
 * Derivatives of a sum over steps in the mean and the log-std of each. One in the log-std alone is not needed: policies here have a log-std
 * that is linear in the parameters.
 */
type Derivatives = {
  readonly mean?: tf.Tensor; // [N, A]
  readonly meanMean: tf.Tensor; // [N, A]
  readonly meanLogStd?: tf.Tensor; // [N, A]
  readonly logStdLogStd: tf.Tensor; // [A] or a scalar
};

/** The product of a direction with the Hessian, in the parameters, of the function of mean and log-std that has these derivatives. */
function expansionProduct(
  task: TaskPolicy,
  parameters: Parameters,
  observation: tf.Tensor2D,
  { derivatives, direction }: { readonly derivatives: Derivatives; readonly direction: Parameters },
): Parameters {
  const { mean: slope, meanMean, meanLogStd, logStdLogStd } = derivatives;
  const here = outputOf(task, parameters, observation);
  // A log-std may be a parameter itself: only as another tensor is it a constant.
  const origin = { mean: here.mean, logStd: tf.clone(here.logStd!) };
  const expansion = (at: Parameters): tf.Scalar => {
    const { mean, logStd } = outputOf(task, at, observation);
    const [dMean, dLogStd] = [tf.sub(mean, origin.mean), tf.sub(logStd!, origin.logStd)];
    const terms = [
      tf.mul(tf.mul(meanMean, 0.5), tf.square(dMean)),
      ...(slope === undefined ? [] : [tf.mul(slope, dMean)]),
      ...(meanLogStd === undefined ? [] : [tf.mul(meanLogStd, tf.mul(dMean, dLogStd))]),
    ];
    return tf.add(tf.sum(tf.addN(terms)), tf.sum(tf.mul(tf.mul(logStdLogStd, 0.5), tf.square(dLogStd)))) as tf.Scalar;
  };
  return hessianProduct(expansion, parameters, direction);
}
