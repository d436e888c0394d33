/** Critics of residual blocks, to compare hypernetworks with plain networks of their size and depth. */

import * as tf from '@tensorflow/tfjs-core';
import { primary, primarySpecs } from '../hyper/primary.ts';
import { defaultLinear, hyperlTrunk } from '../initialisers.ts';
import { linear, linearSpecs } from '../linear.ts';
import { mlp, mlpSpecs } from '../mlp.ts';
import { type ParameterSpecs, under, withPrefix } from '../parameters.ts';
import { resblock, resblockSpecs } from '../resblock.ts';
import { type CriticSizes, concatInputs, type QFunction } from './critic.ts';
import { criticInputSize } from './mlp.ts';

const featureCount = 10;
const featureHiddenSizes = [256];

/**
 * The primary trunk of a hypernetwork turns the observation into ten features; [features, action] -> 256 -> 1.
 *
 * Source: Sarafian et al. 2021, appendix D.4.
 */
export function resnetFeaturesQ(
  { actionSize, observationSize, contextSize = 0 }: CriticSizes,
  trunkSizes: readonly number[],
): QFunction {
  const embeddingSize = trunkSizes.at(-1)!;
  return {
    architecture: 'resnet-features',
    specs: {
      ...withPrefix('primary', primarySpecs(observationSize, { trunkSizes, initialisers: hyperlTrunk })),
      ...withPrefix('features', linearSpecs(embeddingSize, featureCount, defaultLinear(embeddingSize))),
      ...withPrefix('mlp', mlpSpecs([featureCount + actionSize + contextSize, ...featureHiddenSizes, 1])),
    },
    q(parameters, observation, action, context) {
      const embedding = primary(under('primary', parameters), trunkSizes.length, observation as tf.Tensor2D);
      const features = linear(parameters, 'features', embedding); // [B, 10]
      const input = concatInputs(features, action, context) as tf.Tensor2D;
      return tf.squeeze(mlp(under('mlp', parameters), input), [1]);
    },
  };
}

const blockCount = 35;
const width = 256;

/**
 * Lin([s, a] -> 256), 35 residual blocks, ReLU, Lin -> 1; 4.6 M parameters.
 *
 * Source: Sarafian et al. 2021, appendix D.4.
 */
export function resnet35Q(sizes: CriticSizes): QFunction {
  const inputSize = criticInputSize(sizes);
  const blocks = Array.from({ length: blockCount }, (_, i) =>
    withPrefix(`block${i}`, resblockSpecs(width, { initialisers: defaultLinear(width) })),
  );
  const specs: ParameterSpecs = Object.assign(
    withPrefix('input', linearSpecs(inputSize, width, defaultLinear(inputSize))),
    ...blocks,
    withPrefix('output', linearSpecs(width, 1, defaultLinear(width))),
  );
  return {
    architecture: 'resnet35',
    specs,
    q(parameters, observation, action, context) {
      let h = linear(parameters, 'input', concatInputs(observation, action, context) as tf.Tensor2D);
      for (let i = 0; i < blockCount; i++) h = resblock(parameters, `block${i}`, h);
      return tf.squeeze(linear(parameters, 'output', tf.relu(h)), [1]);
    },
  };
}
