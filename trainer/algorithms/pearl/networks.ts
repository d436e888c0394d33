/**
 * PEARL's networks as descriptions without parameters: encoder, policy, twin Q functions and a state value. The baselines have no
 * encoder: z is the task itself, or there is none.
 */

import * as tf from '@tensorflow/tfjs-core';
import { requireBounds } from '../../../src/contract/bounds.ts';
import { invalidArgument } from '../../../src/contract/errors.ts';
import { type PolicySpecs, specSizes } from '../../../src/contract/tensor-spec.ts';
import { type ActionScaling, actionScaling } from '../../../src/nn/action-scaling.ts';
import { type Critic, ensembleQ, memberParameters, memberQ } from '../../../src/nn/critics/critic.ts';
import { type CriticConfig, createCritic } from '../../../src/nn/critics/registry.ts';
import type { Encoder } from '../../../src/nn/encoders/encoder.ts';
import { createEncoder } from '../../../src/nn/encoders/registry.ts';
import type { Parameters } from '../../../src/nn/parameters.ts';
import { type Policy, type PolicyOutput, policyOutput } from '../../../src/nn/policies/policy.ts';
import { createPolicy, type PolicyConfig } from '../../../src/nn/policies/registry.ts';
import type { PearlConfig } from './config.ts';

/** z of each of N tasks, [N, Z]; undefined if the networks have none. */
export type Latent = tf.Tensor2D | undefined;

export type TaskNetworks = {
  /** pi(a | s, z): a Gaussian squashed by tanh. */
  readonly policy: Policy;
  /** Twins Q(s, a, z): z is their context. */
  readonly q: Critic;
  /** V(s, z): one critic whose action is z; a zero if there is no z. */
  readonly value: Critic;
  readonly scaling: ActionScaling;
};

export type PearlNetworks = TaskNetworks & {
  /** Transitions [N, T, D] of N tasks to their posteriors over z. */
  readonly encoder: Encoder;
};

/** Those of PEARL or of a baseline. */
export type AgentNetworks = TaskNetworks & Partial<Pick<PearlNetworks, 'encoder'>>;

/**
 * Hypernetworks: policy with meta = z, base = s; Q with meta = s, base = [a, z]; V with meta = s, base = z.
 *
 * Source: Sarafian et al. 2021, section 4 and appendix E.4.
 * @throws HyperpolicyError invalid_argument: an action that lacks a bound, an unknown encoder, or options that a network does not take
 */
export function createPearlNetworks(config: PearlConfig, specs: PolicySpecs): PearlNetworks {
  const { latentSize, encodesNextObservation } = config;
  const { observationSize, actionSize } = specSizes(specs);
  const transitionSize = observationSize + actionSize + 1 + (encodesNextObservation ? observationSize : 0);
  return {
    ...createTaskNetworks(config, specs, latentSize),
    encoder: createEncoder(config.encoder, { transitionSize, latentSize }),
  };
}

/**
 * The networks beside the encoder.
 * @param latentSize values of z, 0 for none
 * @throws HyperpolicyError invalid_argument: an action that lacks a bound, or options that a network does not take
 */
export function createTaskNetworks(
  config: Pick<PearlConfig, 'networks' | 'hyper' | 'hiddenSizes'>,
  specs: PolicySpecs,
  latentSize: number,
): TaskNetworks {
  requireBounds('train pearl', specs.action);
  const sizes = { ...specSizes(specs), contextSize: latentSize };
  const { observationSize } = sizes;
  const q = criticConfig(config);
  return {
    policy: createPolicy(policyConfig(config, latentSize), sizes),
    q: createCritic(q, { ...sizes, ensembleSize: 2 }),
    value: createCritic(q, { observationSize, actionSize: Math.max(latentSize, 1), ensembleSize: 1 }),
    scaling: actionScaling(specs.action),
  };
}

type NetworkSettings = Pick<PearlConfig, 'networks' | 'hyper' | 'hiddenSizes'>;

/** The critic of Q and V, in the form of the registry. */
export const criticConfig = ({ networks, hyper, hiddenSizes }: NetworkSettings): CriticConfig =>
  networks === 'hyper' ? { ...hyper, architecture: 'sa-hyper' } : { architecture: 'mlp-standard', hiddenSizes };

/** In the form of the registry. */
export function policyConfig({ networks, hyper, hiddenSizes }: NetworkSettings, latentSize: number): PolicyConfig {
  if (networks === 'hyper') return { ...hyper, architecture: 'pearl-hyper-policy' };
  return { architecture: latentSize > 0 ? 'pearl-policy' : 'sac-policy', hiddenSizes };
}

/** One z per task, [N, Z], as one per row, [N B, Z]; the rows of a task lie together. Undefined stays undefined. */
export function latentRows<T extends Latent>(latent: T, rowCount: number): T;
export function latentRows(latent: Latent, rowCount: number): Latent {
  if (latent === undefined) return undefined;
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
  latent: Latent,
): PolicyOutput {
  const { split } = policy;
  const [rowCount, observationSize] = observation.shape;
  if (split === undefined || latent === undefined)
    return policyOutput(policy, parameters, observation, latentRows(latent, rowCount));
  const taskCount = latent.shape[0];
  const rowsPerTask = rowsPerTaskOf(rowCount, taskCount);
  const rows = tf.reshape(observation, [taskCount, rowsPerTask, observationSize]);
  const { mean, logStd } = split.evaluate(parameters, split.generate(parameters, latent), rows); // [N, B, A]
  const flat = (output: tf.Tensor) => tf.reshape(output, [rowCount, policy.sizes.actionSize]);
  return { mean: flat(mean), logStd: flat(logStd!) };
}

/** Q_i(s, a, z) of each twin, [N B, Q]. */
export function qAt(
  { q }: TaskNetworks,
  parameters: Parameters,
  observation: tf.Tensor2D,
  action: tf.Tensor2D,
  latent: Latent,
): tf.Tensor2D {
  const { member, ensembleSize } = q;
  const rowCount = observation.shape[0];
  if (latent === undefined || member.qOfGroups === undefined)
    return ensembleQ(q, parameters, observation, action, latentRows(latent, rowCount));
  rowsPerTaskOf(rowCount, latent.shape[0]);
  const twins = Array.from({ length: ensembleSize }, (_, i) =>
    member.qOfGroups!(memberParameters(i, parameters), observation, action, latent),
  );
  return tf.stack(twins, 1) as tf.Tensor2D;
}

/** V(s, z), [N B]. */
export function valueAt(
  { value }: TaskNetworks,
  parameters: Parameters,
  observation: tf.Tensor2D,
  latent: Latent,
): tf.Tensor1D {
  const rowCount = observation.shape[0];
  if (latent === undefined || value.member.qOfGroups === undefined)
    return memberQ(value, 0, parameters, observation, latentRows(latent, rowCount) ?? tf.zeros([rowCount, 1]));
  rowsPerTaskOf(rowCount, latent.shape[0]);
  return value.member.qOfGroups(memberParameters(0, parameters), observation, undefined, latent);
}

function rowsPerTaskOf(rowCount: number, taskCount: number): number {
  if (rowCount % taskCount === 0) return rowCount / taskCount;
  const expected = `as many rows of each of ${taskCount} tasks`;
  throw invalidArgument({ where: 'PEARL batch', expected, actual: `${rowCount} rows` });
}
