/** A network in training as tensors of one computation: its parameters, Adam's moments and its target copy, each by parameter. */

import * as tf from '@tensorflow/tfjs-core';
import { grouped } from '../../src/contract/grouped.ts';
import { mapValues } from '../../src/contract/records.ts';
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

/** The network after one step of Adam: tensors of one shape take it together. */
export function stepped(
  network: NetworkTensors,
  gradients: Parameters,
  scalars: AdamScalars<tf.Scalar>,
): NetworkTensors {
  const { parameters, moment1, moment2 } = network;
  const after = inGroups({ parameter: parameters, moment1, moment2, gradient: gradients }, (together) =>
    adamStep(together, together.gradient, scalars),
  );
  return { ...network, parameters: after.parameter, moment1: after.moment1, moment2: after.moment2 };
}

/** The network after its target went tau of the way to it. */
export function followed({ parameters, ...network }: NetworkTensors, tau: number): NetworkTensors {
  const followers = mapValues(network.target, (_, name) => parameters[name]!);
  const after = inGroups({ target: network.target, source: followers }, ({ target, source }) => ({
    target: polyakStep(target, source, tau),
  }));
  return { ...network, parameters, target: after.target ?? {} };
}

/** Most tensors side by side: with more, the CUDA provider makes tables of their sizes on the host in each run. */
const groupCountMax = 32;

/**
 * A step, element by element, of tensors that have the same names and shapes: once for all of one shape, which lie one after the other then. A
 * network has many of few shapes, and a device takes as long to begin a small operation as to do it.
 * @param step gets and gives tensors of one shape
 */
function inGroups<Given extends string, Made extends string>(
  tensors: Readonly<Record<Given, Parameters>>,
  step: (together: Readonly<Record<Given, tf.Tensor>>) => Readonly<Record<Made, tf.Tensor>>,
): Readonly<Record<Made, Parameters>> {
  const kindsOf = Object.entries(tensors) as [Given, Parameters][];
  const made: Record<string, Record<string, tf.Tensor>> = {};
  for (const names of groupsOf(kindsOf[0]![1])) {
    const together = kindsOf.map(([kind, ofKind]) => [kind, joined(names.map((name) => ofKind[name]!))] as const);
    const after = step(Object.fromEntries(together) as Record<Given, tf.Tensor>);
    for (const [kind, tensor] of Object.entries<tf.Tensor>(after)) {
      const parts = names.length === 1 ? [tensor] : tf.split(tensor, names.length);
      made[kind] = Object.assign(made[kind] ?? {}, Object.fromEntries(names.map((name, i) => [name, parts[i]!])));
    }
  }
  return made as Record<Made, Record<string, tf.Tensor>>;
}

const joined = (tensors: readonly tf.Tensor[]): tf.Tensor =>
  tensors.length === 1 ? tensors[0]! : tf.concat([...tensors]);

/** Names of tensors of one shape. A scalar is alone. */
function groupsOf(tensors: Parameters): string[][] {
  const alike = grouped(Object.entries(tensors), ([name, { shape }]) => (shape.length === 0 ? name : `[${shape}]`));
  return [...alike.values()].flatMap((entries) => {
    const names = entries.map(([name]) => name);
    return Array.from({ length: Math.ceil(names.length / groupCountMax) }, (_, i) =>
      names.slice(i * groupCountMax, (i + 1) * groupCountMax),
    );
  });
}
