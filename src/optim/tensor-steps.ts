/**
 * Steps of optimisers as functions of tensors, for updates whose parameters stay on a device. The arithmetic is that of the kernels in
 * assembly/, in the same order: each operation is rounded to float32 once.
 */

import * as tf from '@tensorflow/tfjs-core';
import { type AdamScalars, adamDefaults } from './adam.ts';

/** A parameter with Adam's moments, all of one shape. */
export type AdamTensors = {
  readonly parameter: tf.Tensor;
  readonly moment1: tf.Tensor;
  readonly moment2: tf.Tensor;
};

/**
 * One step of Adam, with its defaults and no weight decay.
 * @param gradient of the parameter's shape
 * @param scalars of the step's number, [] each
 */
export function adamStep(
  { parameter, moment1, moment2 }: AdamTensors,
  gradient: tf.Tensor,
  { stepSize, rescale2 }: AdamScalars<tf.Scalar>,
): AdamTensors {
  const { beta1, beta2, epsilon } = adamDefaults;
  const m = tf.add(moment1, tf.mul(tf.sub(gradient, moment1), 1 - beta1));
  const v = tf.add(tf.mul(moment2, beta2), tf.mul(tf.mul(gradient, 1 - beta2), gradient));
  const scale = tf.add(tf.mul(tf.sqrt(v), rescale2), epsilon);
  return { parameter: tf.sub(parameter, tf.div(tf.mul(m, stepSize), scale)), moment1: m, moment2: v };
}

/** target + tau (source - target). @param tau in [0, 1] */
export const polyakStep = (target: tf.Tensor, source: tf.Tensor, tau: number): tf.Tensor =>
  tf.add(target, tf.mul(tf.sub(source, target), tau));
