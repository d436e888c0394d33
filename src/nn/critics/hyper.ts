/** The three hypernetwork critics: they differ in which input is the meta variable and which the base. */

import * as tf from '@tensorflow/tfjs-core';
import type { GeneratedLayer } from '../hyper/head.ts';
import { createHypernetwork, type Hypernetwork, type HyperOptions } from '../hyper/hypernetwork.ts';
import type { Initialiser, Parameters } from '../parameters.ts';
import { type CriticSizes, type CriticSplit, concatInputs, type QFunction } from './critic.ts';

export type HyperCriticName = 'sa-hyper' | 'as-hyper' | 'emb-hyper';

/** Size of emb-hyper's trainable meta variable. */
const embeddingSize = 5;

/** U(0, 1). Source: Sarafian et al. 2021, released code. */
const unitUniform: Initialiser = (out, random) => {
  for (let i = 0; i < out.length; i++) out[i] = random.uniform();
};

/**
 * - `sa-hyper`: meta = observation, base = action, so the gradient with respect to the action passes through the dynamic
 *   network alone. With a context (PEARL), base = [action, context].
 * - `as-hyper`: meta = action, base = observation.
 * - `emb-hyper`: meta = one trainable vector that the ensemble shares, base = [observation, action].
 *
 * Source: Sarafian et al. 2021, section 3 and appendix D.4.
 */
export function hyperQ(
  architecture: HyperCriticName,
  { observationSize, actionSize, contextSize = 0 }: CriticSizes,
  options: HyperOptions,
): QFunction {
  const metaSize = { 'sa-hyper': observationSize, 'as-hyper': actionSize, 'emb-hyper': embeddingSize }[architecture];
  const inputSize = observationSize + actionSize + contextSize;
  const baseSize = architecture === 'emb-hyper' ? inputSize : inputSize - metaSize;
  const hypernetwork = createHypernetwork({ ...options, metaSize, baseSize, outputSize: 1 });
  const evaluate: Evaluate = (parameters, layers, base) =>
    tf.squeeze(hypernetwork.evaluate(parameters, layers, base)[0]!, [-1]);
  const common = { architecture, specs: hypernetwork.specs, hypernetwork };

  if (architecture === 'as-hyper') {
    return {
      ...common,
      q: (parameters, observation, action, context) => {
        const layers = hypernetwork.generate(parameters, action);
        return evaluate(parameters, layers, concatInputs(observation, context)) as tf.Tensor1D;
      },
    };
  }
  const split = splitOf(architecture, hypernetwork, evaluate);
  return {
    ...common,
    ...(architecture === 'emb-hyper' && {
      sharedSpecs: { embedding: { shape: [embeddingSize], initialise: unitUniform } },
    }),
    q: (parameters, observation, action, context) => {
      const layers = split.generate(parameters, observation);
      return split.evaluate(parameters, layers, { observation, action, context }) as tf.Tensor1D;
    },
    ...(architecture === 'sa-hyper' &&
      hypernetwork.evaluateGroups !== undefined && {
        qOfGroups: (parameters, observation, own, shared) =>
          tf.squeeze(hypernetwork.evaluateGroups!(parameters, observation, { own, shared }), [-1]) as tf.Tensor1D,
      }),
    split,
  };
}

type Evaluate = (parameters: Parameters, layers: readonly GeneratedLayer[], base: tf.Tensor) => tf.Tensor;

const splitOf = (
  architecture: 'sa-hyper' | 'emb-hyper',
  hypernetwork: Hypernetwork,
  evaluate: Evaluate,
): CriticSplit =>
  architecture === 'sa-hyper'
    ? {
        meta: 'observation',
        generate: (parameters, observation) => hypernetwork.generate(parameters, observation!),
        evaluate: (parameters, layers, { action, context }) =>
          evaluate(parameters, layers, concatInputs(action, context)),
      }
    : {
        meta: 'constant',
        generate: (parameters) => hypernetwork.generate(parameters, embeddingOf(parameters)),
        evaluate: (parameters, layers, { observation, action, context }) =>
          evaluate(parameters, layers, concatInputs(observation, action, context)),
      };

const embeddingOf = (parameters: Parameters) =>
  tf.reshape(parameters['shared.embedding']!, [1, embeddingSize]) as tf.Tensor2D;
