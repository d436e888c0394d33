/**
 * What transitions tell of a latent context z: how it is stored between them, and the Gaussian over z that follows. The trainer and the
 * server share it, so that the same transitions give the same z here and there. It knows no networks: it takes what an encoder gives.
 */

import { normalRow } from '../contract/random.ts';

/**
 * What an encoder gives for transitions, by the way it joins them; Z values each, but `next_memory`.
 *
 * - `product`: natural parameters of one Gaussian factor per transition; they are added up.
 * - `mean`: mean and spread of each transition; their means make one Gaussian of variance softplus(spread).
 * - `recurrent`: the memory behind each transition, which it was given the one before, and the Gaussian so far.
 *
 * Source: Rakelly et al. 2019 (PEARL), sections 4.1 and 6.2.
 */
export const encoderOutputs = {
  product: ['precision', 'weighted_mean'],
  mean: ['mean', 'spread'],
  recurrent: ['mean', 'variance', 'next_memory'],
} as const;

export type Aggregation = keyof typeof encoderOutputs;

/** Of transitions so far. */
export type LatentKnowledge = {
  readonly transitionCount: number;
  /** The encoder's outputs side by side, in their order above: sums, or, where it is recurrent, the newest. */
  readonly values: Float64Array;
};

/** [Z] each. */
export type Gaussian = { readonly mean: Float32Array; readonly variance: Float32Array };

/** As in a manifest: N(0, I) holds until there are transitions (`start`), or is one more factor of a product (`factor`). */
export type Prior = 'start' | 'factor';

/** Below this a variance would dominate. The same floor as in the networks. */
const varianceMin = 1e-7;

/** @param size of all outputs of one transition */
export const noKnowledge = (size: number): LatentKnowledge => ({
  transitionCount: 0,
  values: new Float64Array(size),
});

/**
 * With N more transitions; `knowledge` is not changed. They are added one by one, so that the same transitions give the same sums,
 * however they were divided into calls.
 * @param outputs of the encoder in their order above, [N, size] each
 */
export function withTransitions(
  aggregation: Aggregation,
  { transitionCount, values }: LatentKnowledge,
  outputs: readonly Float32Array[],
  count: number,
): LatentKnowledge {
  const next = aggregation === 'recurrent' ? new Float64Array(values.length) : Float64Array.from(values);
  const first = aggregation === 'recurrent' ? Math.max(count - 1, 0) : 0;
  let at = 0;
  for (const output of outputs) {
    const size = output.length / count;
    for (let n = first; n < count; n++) {
      for (let i = 0; i < size; i++) next[at + i]! += output[n * size + i]!;
    }
    at += size;
  }
  return { transitionCount: transitionCount + count, values: next };
}

/** N(0, I) where there were no transitions. @param size Z */
export function gaussianOf(
  aggregation: Aggregation,
  { transitionCount, values }: LatentKnowledge,
  { size, prior }: { readonly size: number; readonly prior: Prior },
): Gaussian {
  const first = values.subarray(0, size);
  const second = values.subarray(size, 2 * size);
  if (aggregation === 'product') {
    const priorPrecision = prior === 'factor' || transitionCount === 0 ? 1 : 0;
    return {
      mean: Float32Array.from(second, (value, i) => value / (first[i]! + priorPrecision)),
      variance: Float32Array.from(first, (value) => 1 / (value + priorPrecision)),
    };
  }
  if (transitionCount === 0) return { mean: new Float32Array(size), variance: new Float32Array(size).fill(1) };
  if (aggregation === 'recurrent') return { mean: Float32Array.from(first), variance: Float32Array.from(second) };
  return {
    mean: Float32Array.from(first, (value) => value / transitionCount),
    variance: Float32Array.from(second, (value) => Math.max(softplus(value / transitionCount), varianceMin)),
  };
}

/** log(1 + e^x) without overflow. */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** mean + sqrt(variance) x noise, [Z]; the noise is that of row 0 of a sample with this seed. */
export function drawContext({ mean, variance }: Gaussian, seed: number): Float32Array {
  const noise = new Float32Array(mean.length);
  normalRow(seed, 0, mean.length, noise);
  return mean.map((value, i) => value + Math.sqrt(variance[i]!) * noise[i]!);
}
