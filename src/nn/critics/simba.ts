/** Two critics from later work that scale plain networks by normalisation; not in the papers. */

import * as tf from '@tensorflow/tfjs-core';
import { constant, defaultLinear, type LinearInitialisers, zeros } from '../initialisers.ts';
import { layerNorm, layerNormSpecs } from '../layer-norm.ts';
import { linear, linearSpecs } from '../linear.ts';
import { type Initialiser, type ParameterSpecs, type Parameters, withPrefix } from '../parameters.ts';
import { type CriticSizes, concatInputs, type QFunction } from './critic.ts';
import { criticInputSize } from './mlp.ts';

const blockCount = 2;
const width = 512;

/**
 * Lin -> LN -> ReLU, two blocks h + LN(Lin(ReLU(LN(Lin h)))), Lin -> 1; width 512.
 *
 * Source: Nauman et al. 2024 (BRO, "BroNet"); one value instead of quantiles.
 */
export function bronetQ(sizes: CriticSizes): QFunction {
  const inputSize = criticInputSize(sizes);
  const dense = (name: string, inputs: number): ParameterSpecs => ({
    ...withPrefix(name, linearSpecs(inputs, width, defaultLinear(inputs))),
    ...withPrefix(`${name}.norm`, layerNormSpecs(width)),
  });
  const blocks = Array.from({ length: blockCount }, (_, i) => ({
    ...dense(`block${i}.first`, width),
    ...dense(`block${i}.second`, width),
  }));
  const normalised = (parameters: Parameters, name: string, x: tf.Tensor2D) =>
    layerNorm(parameters, `${name}.norm`, linear(parameters, name, x));
  return {
    architecture: 'bronet',
    specs: Object.assign(
      dense('input', inputSize),
      ...blocks,
      withPrefix('output', linearSpecs(width, 1, defaultLinear(width))),
    ),
    q(parameters, observation, action, context) {
      const input = concatInputs(observation, action, context) as tf.Tensor2D;
      let h = tf.relu(normalised(parameters, 'input', input));
      for (let i = 0; i < blockCount; i++) {
        const hidden = tf.relu(normalised(parameters, `block${i}.first`, h));
        h = tf.add(h, normalised(parameters, `block${i}.second`, hidden));
      }
      return tf.squeeze(linear(parameters, 'output', h), [1]);
    },
  };
}

/** Appended to the input before it is projected on the sphere, so that its length is not lost. */
const inputShift = 3;
const expansion = 4;

/**
 * Every activation and every weight column lies on the unit sphere: the input [x, 3] is normalised and projected, two blocks
 * move h a learned part alpha of the way to l2(W2 ReLU(s * (W1 h))), and a linear layer reads the value.
 *
 * Weights are normalised inside the network instead of after each update, which computes the same function.
 *
 * Source: Lee et al. 2025 (SimbaV2); one value instead of a categorical distribution.
 */
export function simbaV2Q(sizes: CriticSizes): QFunction {
  const inputSize = criticInputSize(sizes) + 1;
  const scaled = (inputs: number, outputs: number): ParameterSpecs => ({
    weight: { shape: [inputs, outputs], initialise: normal },
    scale: { shape: [outputs], initialise: constant(Math.sqrt(2 / inputs)) },
  });
  const blocks = Array.from({ length: blockCount }, (_, i) => ({
    ...withPrefix(`block${i}.expand`, scaled(width, expansion * width)),
    [`block${i}.contract`]: { shape: [expansion * width, width], initialise: normal },
    [`block${i}.step`]: { shape: [width], initialise: constant(1 / (blockCount + 1)) },
  }));
  const output: LinearInitialisers = { weight: normal, bias: zeros };
  return {
    architecture: 'simba-v2',
    specs: Object.assign(
      withPrefix('input', scaled(inputSize, width)),
      ...blocks,
      withPrefix('hidden', scaled(width, width)),
      withPrefix('output', linearSpecs(width, 1, output)),
    ),
    q(parameters, observation, action, context) {
      const project = (name: string, x: tf.Tensor) =>
        tf.mul(tf.matMul(x, onSphere(parameters[`${name}.weight`]!, 0)), parameters[`${name}.scale`]!);
      const input = tf.pad(
        concatInputs(observation, action, context),
        [
          [0, 0],
          [0, 1],
        ],
        inputShift,
      ); // [B, I + 1]
      let h = onSphere(project('input', onSphere(input, 1)), 1);
      for (let i = 0; i < blockCount; i++) {
        const hidden = tf.relu(project(`block${i}.expand`, h));
        const goal = onSphere(tf.matMul(hidden, onSphere(parameters[`block${i}.contract`]!, 0)), 1);
        h = onSphere(tf.add(h, tf.mul(parameters[`block${i}.step`]!, tf.sub(goal, h))), 1);
      }
      const weight = onSphere(parameters['output.weight']!, 0);
      const value = tf.add(tf.matMul(project('hidden', h), weight), parameters['output.bias']!); // [B, 1]
      return tf.squeeze(value, [1]);
    },
  };
}

const normal: Initialiser = (out, random) => random.fillNormal(out);

/** Unit length along an axis. */
const onSphere = (x: tf.Tensor, axis: number): tf.Tensor =>
  tf.div(x, tf.sqrt(tf.add(tf.sum(tf.square(x), axis, true), 1e-8)));
