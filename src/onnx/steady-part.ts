/**
 * A graph in two, where some inputs stay the same from run to run: what follows from those alone, to be computed once and kept, and the
 * rest, which reads what was kept. The two together give the same bits as the whole.
 */

import { sizeOf } from '../contract/counts.ts';
import type { Graph, NamedValue, Node, Value } from './graph.ts';
import { nodeMultiplyAdds } from './multiply-adds.ts';
import { removeDeadCode } from './passes/dead-code.ts';

export type SplitGraph = {
  /** From steady inputs to the kept values, all float32. */
  readonly steady: Graph;
  /** From the kept values, as inputs of the same names, and inputs of the whole to the outputs of the whole. */
  readonly rest: Graph;
};

/**
 * Work per element from which a value is kept: an element of a product of that depth takes longer than to read it from memory. An elementwise
 * node counts as one: a mask, which takes about as long as to read it, is computed again and needs no memory.
 */
const elementWorkMin = 16;
/** A node over fewer elements takes longer than reading them does. */
const smallElementCount = 2 ** 14;

/**
 * @param graph in its last form: no pass should come after
 * @param steady names of inputs
 * @returns undefined if nothing is worth keeping
 */
export function splitSteady(graph: Graph, steady: ReadonlySet<string>): SplitGraph | undefined {
  const varying = varyingNodes(graph, steady);
  const kept = worthKeeping(graph, varying);
  if (kept.length === 0) return undefined;
  const prefix = freePrefix(graph);
  const names = kept
    .toSorted((a, b) => sizeOf(a.shape) - sizeOf(b.shape))
    .map((value, i) => ({ name: `${prefix}${i}`, value }));
  const isKept = new Set(kept);
  return {
    steady: part(graph, `${graph.name}-steady`, graph.nodes, graph.inputs, names),
    rest: part(
      graph,
      graph.name,
      graph.nodes.filter(({ outputs }) => !outputs.some((output) => isKept.has(output))),
      [...names, ...graph.inputs],
      graph.outputs,
    ),
  };
}

/** `kept.`, or a longer one if names of the graph begin so. */
function freePrefix({ inputs, outputs }: Graph): string {
  const isTaken = (prefix: string) => [...inputs, ...outputs].some(({ name }) => name.startsWith(prefix));
  let prefix = 'kept.';
  while (isTaken(prefix)) prefix += 'kept.';
  return prefix;
}

/** Nodes that read, maybe through others, an input that is not steady. */
function varyingNodes({ inputs, nodes }: Graph, steady: ReadonlySet<string>): ReadonlySet<Node> {
  const values = new Set(inputs.filter(({ name }) => !steady.has(name)).map(({ value }) => value));
  const varying = new Set<Node>();
  for (const node of nodes) {
    if (!node.inputs.some((input) => input !== undefined && values.has(input))) continue;
    varying.add(node);
    for (const output of node.outputs) values.add(output);
  }
  return varying;
}

/** Of the values that varying nodes or the caller read, those that take longer to compute from the others than to read. */
function worthKeeping({ nodes, outputs }: Graph, varying: ReadonlySet<Node>): Value[] {
  const read = new Set([...[...varying].flatMap(({ inputs }) => inputs), ...outputs.map(({ value }) => value)]);
  /** Operations from inputs and kept values to a value, those of values on the way included. */
  const work = new Map<Value, number>();
  const kept: Value[] = [];
  for (const node of nodes) {
    if (varying.has(node)) continue;
    const operands = new Set(node.inputs);
    const before = [...operands].reduce((sum, input) => sum + ((input && work.get(input)) ?? 0), 0);
    const [output] = node.outputs as [Value];
    const size = sizeOf(output.shape);
    const total = before + Math.max(size, nodeMultiplyAdds(node));
    const pays = size <= smallElementCount || total > elementWorkMin * size;
    const canBeKept = node.outputs.length === 1 && output.dtype === 'float32' && read.has(output);
    if (canBeKept && pays) kept.push(output);
    else for (const value of node.outputs) work.set(value, total);
  }
  return kept;
}

/** A graph of what the outputs need, with the inputs that it reads. */
function part(
  { symbols }: Graph,
  name: string,
  nodes: readonly Node[],
  inputs: readonly NamedValue[],
  outputs: readonly NamedValue[],
): Graph {
  const live = removeDeadCode({ name, inputs, outputs, nodes, symbols });
  const read = new Set([...live.nodes.flatMap((node) => node.inputs), ...outputs.map(({ value }) => value)]);
  return { ...live, inputs: inputs.filter(({ value }) => read.has(value)) };
}
