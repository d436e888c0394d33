/** A network in training as tensors of one computation: its parameters, Adam's moments and its target copy, each by parameter. */

import type * as tf from '@tensorflow/tfjs-core';
import { type Parameters, prefixed, under } from '../../src/nn/parameters.ts';
import type { AdamScalars } from '../../src/optim/adam.ts';
import { adamStep, polyakStep } from '../../src/optim/tensor-steps.ts';
import { type BoundInput, boundParameters } from '../engine/engine.ts';
import type { NetworkArrays } from './actor-critic.ts';

const kinds = ['parameters', 'moment1', 'moment2', 'target'] as const;

/** The target is empty if the network has no copy. */
export type NetworkTensors = Readonly<Record<(typeof kinds)[number], Parameters>>;

/** Inputs that read a network's arrays, under `prefix.kind.parameter`. */
export const boundNetwork = (prefix: string, arrays: NetworkArrays): Record<string, BoundInput> =>
  Object.assign({}, ...kinds.map((kind) => boundParameters(`${prefix}.${kind}`, arrays[kind], arrays.shapes)));

/** The tensors of {@link boundNetwork}. */
export const networkUnder = (prefix: string, inputs: Parameters): NetworkTensors =>
  Object.fromEntries(kinds.map((kind) => [kind, under(`${prefix}.${kind}`, inputs)])) as NetworkTensors;

/** The tensors under the names of {@link boundNetwork}. */
export const networkAs = (prefix: string, network: NetworkTensors): Record<string, tf.Tensor> =>
  Object.assign({}, ...kinds.map((kind) => prefixed(`${prefix}.${kind}`, network[kind])));

/** The network after one step of Adam. */
export function stepped(
  network: NetworkTensors,
  gradients: Parameters,
  scalars: AdamScalars<tf.Scalar>,
): NetworkTensors {
  const steps = Object.entries(network.parameters).map(([name, parameter]) => {
    const tensors = { parameter, moment1: network.moment1[name]!, moment2: network.moment2[name]! };
    return [name, adamStep(tensors, gradients[name]!, scalars)] as const;
  });
  return {
    parameters: Object.fromEntries(steps.map(([name, { parameter }]) => [name, parameter])),
    moment1: Object.fromEntries(steps.map(([name, { moment1 }]) => [name, moment1])),
    moment2: Object.fromEntries(steps.map(([name, { moment2 }]) => [name, moment2])),
    target: network.target,
  };
}

/** The network after its target went tau of the way to it. */
export const followed = (network: NetworkTensors, tau: number): NetworkTensors => ({
  ...network,
  target: Object.fromEntries(
    Object.entries(network.target).map(([name, target]) => [name, polyakStep(target, network.parameters[name]!, tau)]),
  ),
});
