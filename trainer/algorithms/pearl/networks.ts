/** PEARL's networks as descriptions without parameters: encoder, policy, twin Q functions and a state value. */

import * as tf from '@tensorflow/tfjs-core';
import { invalidArgument } from '../../../src/contract/errors.ts';
import { type PolicySpecs, specSize } from '../../../src/contract/tensor-spec.ts';
import { type ActionScaling, actionScaling } from '../../../src/nn/action-scaling.ts';
import type { Critic } from '../../../src/nn/critics/critic.ts';
import { type CriticConfig, createCritic } from '../../../src/nn/critics/registry.ts';
import type { Encoder } from '../../../src/nn/encoders/encoder.ts';
import { createEncoder } from '../../../src/nn/encoders/registry.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { type Policy, type PolicyOutput, policyOutput } from '../../../src/nn/policies/policy.ts';
import { createPolicy } from '../../../src/nn/policies/registry.ts';
import type { PearlConfig } from './config.ts';

export type PearlNetworks = {
  /** Transitions [N, T, D] of N tasks to their posteriors over z. */
  readonly encoder: Encoder;
  /** pi(a | s, z): a Gaussian squashed by tanh. */
  readonly policy: Policy;
  /** Twins Q(s, a, z): z is their context. */
  readonly q: Critic;
  /** V(s, z): one critic whose action is z. */
  readonly value: Critic;
  readonly scaling: ActionScaling;
};

/**
 * Hypernetworks: policy with meta = z, base = s; Q with meta = s, base = [a, z]; V with meta = s, base = z.
 *
 * Source: Sarafian et al. 2021, section 4 and appendix E.4.
 * @throws HyperpolicyError invalid_argument: an unknown encoder, or options that a network does not take
 */
export function createPearlNetworks(config: PearlConfig, { observation, action }: PolicySpecs): PearlNetworks {
  const { networks, hyper = {}, hiddenSizes, latentSize } = config;
  const [observationSize, actionSize] = [specSize(observation), specSize(action)];
  const sizes = { observationSize, actionSize, contextSize: latentSize };
  const criticConfig: CriticConfig =
    networks === 'hyper' ? { ...hyper, architecture: 'sa-hyper' } : { architecture: 'mlp-standard', hiddenSizes };
  const transitionSize = observationSize + actionSize + 1 + (config.encodesNextObservation ? observationSize : 0);
  return {
    encoder: createEncoder(config.encoder, { transitionSize, latentSize }),
    policy:
      networks === 'hyper'
        ? createPolicy({ ...hyper, architecture: 'pearl-hyper-policy' }, sizes)
        : createPolicy({ architecture: 'pearl-policy', hiddenSizes }, sizes),
    q: createCritic(criticConfig, { ...sizes, ensembleSize: 2 }),
    value: createCritic(criticConfig, { observationSize, actionSize: latentSize, ensembleSize: 1 }),
    scaling: actionScaling(action),
  };
}

/** One z per task, [N, Z], as one per row, [N B, Z]; the rows of a task lie together. */
export function latentRows(latent: tf.Tensor2D, rowCount: number): tf.Tensor2D {
  const [taskCount, latentSize] = latent.shape;
  const rowsPerTask = rowsPerTaskOf(rowCount, taskCount);
  return tf.reshape(tf.tile(tf.expandDims(latent, 1), [1, rowsPerTask, 1]), [rowCount, latentSize]);
}

/**
 * The policy's distribution at observations [N B, O] of N tasks with one z each, [N, Z]. A hyper policy generates N networks, not
 * one per row.
 */
export function taskPolicyOutput(
  policy: Policy,
  parameters: Parameters,
  observation: tf.Tensor2D,
  latent: tf.Tensor2D,
): PolicyOutput {
  const { split } = policy;
  const [rowCount, observationSize] = observation.shape;
  if (split === undefined) return policyOutput(policy, parameters, observation, latentRows(latent, rowCount));
  const taskCount = latent.shape[0];
  const rowsPerTask = rowsPerTaskOf(rowCount, taskCount);
  const layers = split.generate(parameters, latent);
  const outputs = Array.from({ length: taskCount }, (_, task) => {
    const ofTask = (x: tf.Tensor) => tf.slice(x, [task, 0, 0], [1, x.shape[1]!, x.shape[2]!]);
    const own = layers.map(({ weight, gain, bias, factors }) => ({
      weight: ofTask(weight),
      gain: ofTask(gain),
      bias: ofTask(bias),
      factors,
    }));
    return split.evaluate(
      parameters,
      own,
      tf.slice(observation, [task * rowsPerTask, 0], [rowsPerTask, observationSize]),
    );
  });
  return {
    mean: tf.concat(outputs.map(({ mean }) => mean)),
    logStd: tf.concat(outputs.map(({ logStd }) => logStd!)),
  };
}

function rowsPerTaskOf(rowCount: number, taskCount: number): number {
  if (rowCount % taskCount === 0) return rowCount / taskCount;
  const expected = `as many rows of each of ${taskCount} tasks`;
  throw invalidArgument({ where: 'PEARL batch', expected, actual: `${rowCount} rows` });
}
