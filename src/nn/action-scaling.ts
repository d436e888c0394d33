/** Between environment units and the normalised actions in [-1, 1] that policies and critics work in. */

import * as tf from '@tensorflow/tfjs-core';
import type { TensorSpec } from '../spec/tensor-spec.ts';

/** environment = centre + half x normalised, per value. Unbounded values pass unchanged. */
export type ActionScaling = { readonly centre: Float32Array; readonly half: Float32Array };

export function actionScaling({ low, high }: TensorSpec): ActionScaling {
  const bounds = low.map((lowest, i) => [lowest, high[i] ?? null] as const);
  const scale = (f: (lowest: number, highest: number) => number, unbounded: number) =>
    Float32Array.from(bounds, ([lowest, highest]) =>
      lowest === null || highest === null ? unbounded : f(lowest, highest),
    );
  return { centre: scale((a, b) => (a + b) / 2, 0), half: scale((a, b) => (b - a) / 2, 1) };
}

/** Normalised [B, A] to environment units. */
export const toEnvironment = ({ centre, half }: ActionScaling, action: tf.Tensor): tf.Tensor =>
  tf.add(tf.mul(action, tf.tensor1d(half)), tf.tensor1d(centre));

/** Environment units [B, A] to normalised. */
export const toNormalised = ({ centre, half }: ActionScaling, action: tf.Tensor): tf.Tensor =>
  tf.div(tf.sub(action, tf.tensor1d(centre)), tf.tensor1d(half));
