/** A whole hypernetwork: trunk and heads that generate a dynamic network from a meta variable. */

import type * as tf from '@tensorflow/tfjs-core';
import { type ParameterSpecs, type Parameters, under, withPrefix } from '../parameters.ts';
import { type GeneratedLayer, head, headSpecs, hyperlHeadBounds } from './head.ts';
import { primary, primarySpecs } from './primary.ts';

export type HypernetworkConfig = {
  readonly metaSize: number;
  readonly baseSize: number;
  readonly outputSize: number;
  /** Widths of the primary's stages; the last is the embedding's. */
  readonly trunkSizes: readonly number[];
  /** Widths of the dynamic network's hidden layers; 256 in the paper. */
  readonly hiddenSizes: readonly number[];
};

/** Input and output size of each dynamic layer. */
export const dynamicSizes = ({ baseSize, hiddenSizes, outputSize }: HypernetworkConfig): [number, number][] => {
  const sizes = [baseSize, ...hiddenSizes, outputSize];
  return sizes.slice(1).map((size, i) => [sizes[i]!, size]);
};

/** `primary.*` and `head0.* ... headN.*`, in the `hyperl` initialisation. */
export function hypernetworkSpecs(config: HypernetworkConfig): ParameterSpecs {
  const layers = dynamicSizes(config);
  const embeddingSize = config.trunkSizes.at(-1)!;
  const heads = layers.map(([inputSize, outputSize], i) => {
    const bound = i === layers.length - 1 ? hyperlHeadBounds.last : hyperlHeadBounds.first;
    return withPrefix(`head${i}`, headSpecs(embeddingSize, { inputSize, outputSize, bound }));
  });
  return Object.assign(withPrefix('primary', primarySpecs(config.metaSize, config.trunkSizes)), ...heads);
}

/** Meta variable [K, meta size] -> dynamic layers with leading K. */
export function generate(parameters: Parameters, config: HypernetworkConfig, meta: tf.Tensor2D): GeneratedLayer[] {
  const embedding = primary(under('primary', parameters), config.trunkSizes, meta);
  return dynamicSizes(config).map(([inputSize], i) => head(under(`head${i}`, parameters), embedding, inputSize));
}
