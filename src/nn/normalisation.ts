/** Normalisation of observations and contexts by constants: x' = (x - shift) / scale, per value. */

import * as tf from '@tensorflow/tfjs-core';

export type Normalisation = { readonly shift: Float32Array; readonly scale: Float32Array };

/** [..., S]; unchanged where there is no normalisation. */
export const normalise = <T extends tf.Tensor>(normalisation: Normalisation | undefined, x: T): T =>
  normalisation === undefined
    ? x
    : tf.div(tf.sub(x, tf.tensor1d(normalisation.shift)), tf.tensor1d(normalisation.scale));

/** [low, high] to [0, 1], without a clip. Where the two are equal to 0, and what is off by 1 to 1. */
export const rangeNormalisation = (low: readonly number[], high: readonly number[]): Normalisation => ({
  shift: Float32Array.from(low),
  scale: Float32Array.from(low, (bound, i) => Math.fround(high[i]! - bound) || 1),
});
