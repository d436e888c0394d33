/** Heads: the embedding to the weights, gains and biases of one dynamic layer. */

import * as tf from '@tensorflow/tfjs-core';
import { defaultLinear, type LinearInitialisers } from '../initialisers.ts';
import { type LinearMap, linear, linearSpecs } from '../linear.ts';
import { type ParameterSpecs, type Parameters, withPrefix } from '../parameters.ts';

/** One generated layer per context. K contexts, I inputs, O outputs. */
export type GeneratedLayer = {
  readonly weight: tf.Tensor; // [K, I, O]; [K, 1, R], the generated diagonal, where the head is of low rank
  readonly gain: tf.Tensor; // [K, 1, O], 1 + a learned offset
  readonly bias: tf.Tensor; // [K, 1, O]
  /** Of a low-rank head: the parts of its weight that no context changes. */
  readonly factors?: Factors | undefined;
};

/** W(z) = base + left diag(h(z)) right. */
export type Factors = {
  readonly base: tf.Tensor; // [I, O]
  readonly left: tf.Tensor; // [I, R]
  readonly right: tf.Tensor; // [R, O]
};

export type HeadInitialisers = Readonly<Record<'weight' | 'gain' | 'bias', LinearInitialisers>>;

export type HeadConfig = {
  readonly embeddingSize: number;
  readonly inputSize: number;
  readonly outputSize: number;
  /** R of a low-rank head; a full weight is generated if absent. */
  readonly rank?: number | undefined;
  readonly initialisers: HeadInitialisers;
};

/**
 * The linear maps `weight`, `gain` and `bias` from an embedding of E values; a low-rank head also has the shared `base`,
 * `left` and `right`, and generates R values instead of I x O. Not in the paper; the form is that of Hu et al. 2022 (LoRA)
 * with a generated diagonal.
 */
export function headSpecs({ embeddingSize, inputSize, outputSize, rank, initialisers }: HeadConfig): ParameterSpecs {
  const map = (part: keyof HeadInitialisers, size: number) =>
    withPrefix(part, linearSpecs(embeddingSize, size, initialisers[part]));
  const factors: ParameterSpecs =
    rank === undefined
      ? {}
      : {
          base: { shape: [inputSize, outputSize], initialise: defaultLinear(inputSize).weight },
          left: { shape: [inputSize, rank], initialise: defaultLinear(inputSize).weight },
          right: { shape: [rank, outputSize], initialise: defaultLinear(rank).weight },
        };
  return {
    ...map('weight', rank ?? inputSize * outputSize),
    ...map('gain', outputSize),
    ...map('bias', outputSize),
    ...factors,
  };
}

/** Embedding [K, E] -> the layer that it stands for, without the factors of a low-rank head. */
export function head(
  parameters: Parameters,
  embedding: tf.Tensor2D,
  inputSize: number,
  map: LinearMap = linear,
): GeneratedLayer {
  const contextCount = embedding.shape[0];
  const outputSize = parameters['bias.bias']!.shape.at(-1)!;
  const row = [contextCount, 1, outputSize];
  const weight = map(parameters, 'weight', embedding);
  return {
    weight: tf.reshape(
      weight,
      factorsOf(parameters) === undefined ? [contextCount, inputSize, outputSize] : [contextCount, 1, weight.shape[1]],
    ),
    gain: tf.reshape(tf.add(map(parameters, 'gain', embedding), 1), row),
    bias: tf.reshape(map(parameters, 'bias', embedding), row),
  };
}

/** The factors among a head's parameters; undefined for a full head. */
export const factorsOf = ({ base, left, right }: Parameters): Factors | undefined =>
  base === undefined || left === undefined || right === undefined ? undefined : { base, left, right };
