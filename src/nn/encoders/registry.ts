/** Context encoders by name. */

import * as tf from '@tensorflow/tfjs-core';
import { invalidArgument } from '../../contract/errors.ts';
import { productOfGaussians } from '../distributions.ts';
import { gru, gruSpecs, gruStep } from '../gru.ts';
import { defaultLinear } from '../initialisers.ts';
import { linear, linearSpecs } from '../linear.ts';
import { mlp, mlpSpecs } from '../mlp.ts';
import { type Parameters, under, withPrefix } from '../parameters.ts';
import { type Encoder, type EncoderSizes, gaussianHead, type Posterior } from './encoder.ts';

export type EncoderConfig = {
  /** A name in {@link encoderNames}. */
  readonly architecture: string;
  /** Widths of the hidden layers; 200, 200, 200 if absent. */
  readonly hiddenSizes?: readonly number[] | undefined;
  /** How `pearl-encoder` joins its transitions: the product of a Gaussian each (the default), or one Gaussian from their mean. */
  readonly aggregation?: 'product' | 'mean' | undefined;
};

type Builder = (sizes: EncoderSizes, hiddenSizes: readonly number[]) => Encoder;

/** By architecture; the first aggregation is the default. */
const builders: Readonly<Record<string, Readonly<Record<string, Builder>>>> = {
  'pearl-encoder': { product: productEncoder, mean: meanEncoder },
  'pearl-gru-encoder': { recurrent: recurrentEncoder },
};

export const encoderNames: readonly string[] = Object.keys(builders);

/** @throws HyperpolicyError invalid_argument for an unknown architecture, or an aggregation that it does not take */
export function createEncoder(
  { architecture, hiddenSizes = [200, 200, 200], aggregation }: EncoderConfig,
  sizes: EncoderSizes,
): Encoder {
  const aggregations = Object.hasOwn(builders, architecture) ? builders[architecture] : undefined;
  if (aggregations === undefined) {
    const expected = `one of ${encoderNames.join(', ')}`;
    throw invalidArgument({ where: 'encoder', expected, actual: `"${architecture}"` });
  }
  const names = Object.keys(aggregations);
  const wanted = aggregation ?? names[0]!;
  const build = Object.hasOwn(aggregations, wanted) ? aggregations[wanted] : undefined;
  if (build !== undefined) return checked(build(sizes, hiddenSizes));
  const expected = `the aggregation ${names.join(' or ')}`;
  throw invalidArgument({ where: `encoder ${architecture}`, expected, actual: `"${aggregation}"` });
}

/** The same encoder, which refuses transitions of another size. */
const checked = (encoder: Encoder): Encoder => ({
  ...encoder,
  posterior(parameters, transitions) {
    const { transitionSize } = encoder.sizes;
    if (transitions.rank === 3 && transitions.shape[2] === transitionSize) {
      return encoder.posterior(parameters, transitions);
    }
    throw invalidArgument({
      where: `encoder ${encoder.architecture}`,
      expected: `transitions [N, T, ${transitionSize}]`,
      actual: `[${transitions.shape.join(', ')}]`,
    });
  },
});

/**
 * One Gaussian factor per transition from an MLP; the posterior is their product, so the order of transitions does not matter.
 *
 * Source: Rakelly et al. 2019 (PEARL), section 4.1.
 */
function productEncoder(sizes: EncoderSizes, hiddenSizes: readonly number[]): Encoder {
  const { transitionSize, latentSize } = sizes;
  const factors = (parameters: Parameters, transitions: tf.Tensor2D) =>
    gaussianHead(mlp(parameters, transitions)) as Posterior;
  return {
    architecture: 'pearl-encoder',
    sizes,
    specs: mlpSpecs([transitionSize, ...hiddenSizes, 2 * latentSize]),
    posterior(parameters, transitions) {
      const [taskCount, stepCount] = transitions.shape;
      const { mean, variance } = factors(parameters, tf.reshape(transitions, [taskCount * stepCount, transitionSize]));
      const perTask = (x: tf.Tensor) => tf.reshape(x, [taskCount, stepCount, latentSize]);
      return productOfGaussians({ mean: perTask(mean), variance: perTask(variance) }, 1) as Posterior;
    },
    steps: {
      aggregation: 'product',
      memorySize: 0,
      outputs(parameters, transitions) {
        const { mean, variance } = factors(parameters, transitions);
        return { precision: tf.reciprocal(variance), weighted_mean: tf.div(mean, variance) };
      },
    },
  };
}

/**
 * One Gaussian from the mean of the MLP's outputs over the transitions: their order does not matter, and more of them do not
 * narrow it by themselves.
 *
 * Source: Garnelo et al. 2018 (neural processes), the aggregator; not in the papers.
 */
function meanEncoder(sizes: EncoderSizes, hiddenSizes: readonly number[]): Encoder {
  const { transitionSize, latentSize } = sizes;
  return {
    architecture: 'pearl-encoder',
    sizes,
    specs: mlpSpecs([transitionSize, ...hiddenSizes, 2 * latentSize]),
    posterior(parameters, transitions) {
      const [taskCount, stepCount] = transitions.shape;
      const rows = tf.reshape(transitions, [taskCount * stepCount, transitionSize]) as tf.Tensor2D;
      const outputs = tf.reshape(mlp(parameters, rows), [taskCount, stepCount, 2 * latentSize]);
      return gaussianHead(tf.mean(outputs, 1)) as Posterior;
    },
    steps: {
      aggregation: 'mean',
      memorySize: 0,
      outputs(parameters, transitions) {
        const [mean, spread] = tf.split(mlp(parameters, transitions), 2, 1) as [tf.Tensor2D, tf.Tensor2D];
        return { mean, spread };
      },
    },
  };
}

/**
 * An MLP on each transition, a GRU over them in order, and a linear layer on its last state.
 *
 * Source: Rakelly et al. 2019, section 6.2 (the recurrent encoder; a GRU in place of its LSTM).
 */
function recurrentEncoder(sizes: EncoderSizes, hiddenSizes: readonly number[]): Encoder {
  const { transitionSize, latentSize } = sizes;
  const width = hiddenSizes.at(-1)!;
  const featuresOf = (parameters: Parameters, rows: tf.Tensor2D) =>
    tf.relu(mlp(under('mlp', parameters), rows)) as tf.Tensor2D;
  const head = (parameters: Parameters, state: tf.Tensor2D) =>
    gaussianHead(linear(parameters, 'output', state)) as Posterior;
  return {
    architecture: 'pearl-gru-encoder',
    sizes,
    specs: {
      ...withPrefix('mlp', mlpSpecs([transitionSize, ...hiddenSizes])),
      ...withPrefix('gru', gruSpecs(width, width)),
      ...withPrefix('output', linearSpecs(width, 2 * latentSize, defaultLinear(width))),
    },
    posterior(parameters, transitions) {
      const [taskCount, stepCount] = transitions.shape;
      const rows = tf.reshape(transitions, [taskCount * stepCount, transitionSize]) as tf.Tensor2D;
      const features = featuresOf(parameters, rows);
      return head(parameters, gru(under('gru', parameters), tf.reshape(features, [taskCount, stepCount, width])));
    },
    steps: {
      aggregation: 'recurrent',
      memorySize: width,
      outputs(parameters, transitions, memory) {
        const next = gruStep(under('gru', parameters), featuresOf(parameters, transitions), memory!);
        return { ...head(parameters, next), next_memory: next };
      },
    },
  };
}
