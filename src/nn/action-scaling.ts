/** Between environment units and the normalised actions in [-1, 1] that policies and critics work in. */

import * as tf from '@tensorflow/tfjs-core';
import { type Float32Bounds, float32Bounds, float32Max } from '../contract/bounds.ts';
import type { TensorSpec } from '../contract/tensor-spec.ts';

/**
 * environment = centre + half x normalised, clipped to [low, high], per value. A value that lacks a bound is not scaled, and clipped
 * where it has one; algorithms that are trained on normalised actions refuse it (`requireBounds`). Low and high are those of
 * `float32Bounds`.
 */
export type ActionScaling = Float32Bounds & {
  readonly centre: Float32Array;
  readonly half: Float32Array;
};

export function actionScaling(spec: TensorSpec): ActionScaling {
  const { low, high } = spec;
  const bounds = low.map((lowest, i) => [lowest, high[i] ?? null] as const);
  const scale = (f: (lowest: number, highest: number) => number, unbounded: number) =>
    Float32Array.from(bounds, ([lowest, highest]) =>
      lowest === null || highest === null ? unbounded : f(lowest, highest),
    );
  return {
    centre: scale((a, b) => (a + b) / 2, 0),
    half: scale((a, b) => (b - a) / 2, 1),
    ...float32Bounds(spec),
  };
}

/** For networks that work in environment units already: actions are clipped and not scaled. */
export function identityScaling(spec: TensorSpec): ActionScaling {
  const { low, high } = actionScaling(spec);
  return { centre: new Float32Array(low.length), half: new Float32Array(low.length).fill(1), low, high };
}

/** Normalised [B, A] to environment units. The clip matters: a runtime's tanh may pass 1 by a rounding error. */
export function toEnvironment({ centre, half, low, high }: ActionScaling, action: tf.Tensor): tf.Tensor {
  const scaled = tf.add(tf.mul(action, tf.tensor1d(half)), tf.tensor1d(centre));
  if (!low.some(Number.isFinite) && !high.some(Number.isFinite)) return scaled;
  // A model file with an infinite weight is refused; for finite actions the largest float32 bounds as little.
  const finite = (bounds: Float32Array) =>
    tf.tensor1d(bounds.map((bound) => Math.min(Math.max(bound, -float32Max), float32Max)));
  return tf.minimum(tf.maximum(scaled, finite(low)), finite(high));
}

/** Environment units [..., A] to normalised. */
export const toNormalised = ({ centre, half }: ActionScaling, action: tf.Tensor): tf.Tensor =>
  tf.div(tf.sub(action, tf.tensor1d(centre)), tf.tensor1d(half));

/** log |d environment / d normalised|: what a log-density of normalised actions loses in environment units. */
export const logVolume = ({ half }: ActionScaling): number => half.reduce((sum, value) => sum + Math.log(value), 0);
