/** Heads: the embedding to the weights, gains and biases of one dynamic layer. */

import * as tf from '@tensorflow/tfjs-core';
import { hyperlHead } from '../initialisers.ts';
import { linear, linearSpecs } from '../linear.ts';
import { type ParameterSpecs, type Parameters, withPrefix } from '../parameters.ts';

/** One generated layer per context. K contexts, I inputs, O outputs. */
export type GeneratedLayer = {
  readonly weight: tf.Tensor; // [K, I, O]
  readonly gain: tf.Tensor; // [K, 1, O], 1 + a learned offset
  readonly bias: tf.Tensor; // [K, 1, O]
};

/** Bounds of the uniform head weights in the `hyperl` scheme: first and last dynamic layer. */
export const hyperlHeadBounds = { first: 0.05, last: 0.008 };

/** The three linear maps `weight`, `gain` and `bias` from an embedding of E values. */
export function headSpecs(
  embeddingSize: number,
  { inputSize, outputSize, bound }: { inputSize: number; outputSize: number; bound: number },
): ParameterSpecs {
  const map = (size: number) => linearSpecs(embeddingSize, size, hyperlHead(bound));
  return {
    ...withPrefix('weight', map(inputSize * outputSize)),
    ...withPrefix('gain', map(outputSize)),
    ...withPrefix('bias', map(outputSize)),
  };
}

/** Embedding [K, E] -> the layer that it stands for. */
export function head(parameters: Parameters, embedding: tf.Tensor2D, inputSize: number): GeneratedLayer {
  const contextCount = embedding.shape[0];
  const outputSize = parameters['bias.bias']!.size;
  const row = [contextCount, 1, outputSize];
  return {
    weight: tf.reshape(linear(parameters, 'weight', embedding), [contextCount, inputSize, outputSize]),
    gain: tf.reshape(tf.add(linear(parameters, 'gain', embedding), 1), row),
    bias: tf.reshape(linear(parameters, 'bias', embedding), row),
  };
}
