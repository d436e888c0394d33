/**
 * Equal parts of a value along its first dimension. Joined again they are the value; and one `Split` makes them all in place of a `Slice`
 * each. For loops of runs (loop.ts), which are for devices: to begin a node takes them as long as most nodes run.
 */

import { grouped } from '../../contract/grouped.ts';
import { constantValues } from '../builder.ts';
import type { Graph, Node, Value } from '../graph.ts';
import { removeDeadCode } from './dead-code.ts';
import { rewrite } from './rewrite.ts';

export const joinEqualParts = (graph: Graph): Graph => splitAtOnce(removeDeadCode(wholesForParts(graph)));

type Part = { readonly whole: Value; readonly index: number; readonly count: number };

/** What a `Slice` is a part of; undefined of other nodes, and of slices that are no equal part. */
function partOf(node: Node | undefined): Part | undefined {
  if (node?.op !== 'Slice' || node.inputs.length !== 4) return undefined;
  const [whole, ...bounds] = node.inputs as [Value, ...Value[]];
  const [starts, ends, axes] = bounds.map(constantValues);
  if (starts === undefined || ends === undefined || axes?.length !== 1 || axes[0] !== 0) return undefined;
  const [begin, size, total] = [starts[0]!, ends[0]! - starts[0]!, whole.shape[0]!];
  if (total % size !== 0 || begin % size !== 0) return undefined;
  return { whole, index: begin / size, count: total / size };
}

/** Where all parts of a value are joined, in order, the value itself. */
function wholesForParts(graph: Graph): Graph {
  return rewrite(graph, ({ op, inputs, attributes }, { producer }) => {
    if (op !== 'Concat' || (attributes.axis as { int: number }).int !== 0) return undefined;
    const parts = inputs.map((input) => partOf(producer(input)));
    const [first] = parts;
    const isWhole = parts.every(
      (part, i) => part?.whole === first?.whole && part?.index === i && part.count === inputs.length,
    );
    return isWhole ? first?.whole : undefined;
  });
}

/** One node for all parts of a value, where each is made by a node. */
function splitAtOnce(graph: Graph): Graph {
  const parts = graph.nodes.flatMap((node) => {
    const part = partOf(node);
    return part === undefined ? [] : [{ node, ...part }];
  });
  const splits = new Map<Node, Node>();
  const replaced = new Set<Node>();
  for (const ofWhole of grouped(parts, ({ whole }) => whole).values()) {
    for (const some of grouped(ofWhole, ({ count }) => count).values()) {
      const [{ node: earliest, whole, count }] = some;
      const inOrder = some.toSorted((a, b) => a.index - b.index);
      if (inOrder.length !== count || inOrder.some(({ index }, i) => index !== i)) continue;
      const outputs = inOrder.map(({ node }) => node.outputs[0]!);
      const attributes = { axis: { int: 0 }, num_outputs: { int: count } };
      splits.set(earliest, { op: 'Split', inputs: [whole], outputs, attributes });
      for (const { node } of some) replaced.add(node);
    }
  }
  const nodes = graph.nodes.flatMap((node) => splits.get(node) ?? (replaced.has(node) ? [] : [node]));
  return { ...graph, nodes };
}
