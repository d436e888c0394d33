/** The contract between trainer and server: names and sizes of the inputs and outputs of each graph. Checks a version's graphs. */

import { failedPrecondition } from '../contract/errors.ts';
import { specSizes } from '../contract/tensor-spec.ts';
import type { Graph, GraphTensor, Manifest } from './manifest.ts';

/** A tensor of the contract: the first dimension is rows (or contexts), then these sizes. */
export type TensorRule = { readonly name: string; readonly sizes: readonly number[]; readonly optional?: boolean };

/** Inputs and outputs as the file itself has them. */
type LoadedTensor = { readonly name: string; readonly dtype: string; readonly shape: readonly (number | string)[] };
type LoadedGraph = { readonly inputs: readonly LoadedTensor[]; readonly outputs: readonly LoadedTensor[] };

export type GraphRule = { readonly inputs: readonly TensorRule[]; readonly outputs: readonly TensorRule[] };

/**
 * @param loaded must have the names, types and sizes of the manifest, as far as the graph tells its sizes
 * @throws HyperpolicyError failed_precondition naming the graph and the tensor
 */
export function checkGraph(graph: Graph, loaded: LoadedGraph, rule: GraphRule): void {
  checkSide(`${graph.file} input`, graph.inputs, loaded.inputs, rule.inputs);
  checkSide(`${graph.file} output`, graph.outputs, loaded.outputs, rule.outputs);
}

function checkSide(
  where: string,
  listed: readonly GraphTensor[],
  loaded: readonly LoadedTensor[],
  rules: readonly TensorRule[],
): void {
  const names = listed.map(({ name }) => name);
  const loadedNames = loaded.map(({ name }) => name);
  if ([...names].sort().join() !== [...loadedNames].sort().join()) {
    throw failedPrecondition({
      where,
      expected: `those of the manifest (${names.join(', ')})`,
      actual: loadedNames.join(', '),
    });
  }
  for (const rule of rules) {
    const tensor = listed.find(({ name }) => name === rule.name);
    if (tensor === undefined) {
      if (rule.optional === true) continue;
      throw failedPrecondition({ where, expected: `"${rule.name}"`, actual: names.join(', ') || 'none' });
    }
    const sizes = tensor.shape.slice(1);
    if (tensor.shape.length !== rule.sizes.length + 1 || !sizes.every((size, i) => size === rule.sizes[i])) {
      throw failedPrecondition({
        where: `${where} "${rule.name}"`,
        expected: `shape [${['rows', ...rule.sizes].join(', ')}]`,
        actual: `[${tensor.shape.join(', ')}]`,
      });
    }
  }
  for (const { name, dtype, shape } of listed) {
    const found = loaded.find((tensor) => tensor.name === name)!;
    const isSame = (size: number | string | undefined, i: number) =>
      typeof size === 'string' ? typeof shape[i] === 'string' || i > 0 : size === shape[i];
    if (found.dtype === dtype && found.shape.length === shape.length && found.shape.every(isSame)) continue;
    throw failedPrecondition({
      where: `${where} "${name}"`,
      expected: `that of the manifest, ${dtype} [${shape.join(', ')}]`,
      actual: `${found.dtype} [${found.shape.join(', ')}]`,
    });
  }
  const known = new Set(rules.map(({ name }) => name));
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length > 0) {
    throw failedPrecondition({ where, expected: `only ${[...known].join(', ')}`, actual: unknown.join(', ') });
  }
}

/** The tensors of a model's rows. `contexts` is empty if the model takes no context. */
export function rowRules(manifest: Manifest) {
  const { observationSize, actionSize, contextSize } = specSizes(manifest);
  const rule = (name: string, ...sizes: readonly number[]): TensorRule => ({ name, sizes });
  const context = rule('context', contextSize);
  return {
    observation: rule('observation', observationSize),
    action: rule('action', actionSize),
    noise: rule('noise', actionSize),
    reward: rule('reward'),
    nextObservation: rule('next_observation', observationSize),
    coefficient: rule('coefficient'),
    context,
    contexts: contextSize > 0 ? [context] : [],
  };
}
