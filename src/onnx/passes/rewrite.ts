/** The frame of a pass: rebuild the graph node by node, with a rule that may put other values in a node's place. */

import { type Builder, createBuilder } from '../builder.ts';
import { type Graph, type Node, useCounts, type Value } from '../graph.ts';

export type RewriteContext = {
  /** Emits replacement nodes. */
  readonly g: Builder;
  /** The node, already rewritten, that makes a value; undefined for inputs and constants. */
  producer(value: Value | undefined): Node | undefined;
  /** How many reads a value has, those that came to it from outputs that it replaced among them. */
  uses(value: Value): number;
};

/** Returns the value that replaces the node's first output, or undefined to keep the node. */
export type Rule = (node: Node, context: RewriteContext) => Value | undefined;

/** Operators whose operands broadcast to one shape. */
export const broadcasting: ReadonlySet<string> = new Set(
  'Add And Div Equal Greater GreaterOrEqual Less LessOrEqual Max Min Mul Or Pow Sub Where'.split(' '),
);

/** Applies a rule to every node once, in order; a rule sees its inputs already rewritten. */
export function rewrite(graph: Graph, rule: Rule): Graph {
  const g = createBuilder(graph.symbols, graph.inputs);
  const replaced = new Map<Value, Value>();
  const counts = new Map(useCounts(graph));
  const producers = new Map<Value, Node>();
  const current = (value: Value | undefined) => (value === undefined ? undefined : (replaced.get(value) ?? value));
  let indexed = 0;
  const indexNew = () => {
    for (; indexed < g.nodes.length; indexed++) {
      const node = g.nodes[indexed]!;
      for (const output of node.outputs) producers.set(output, node);
    }
  };
  const context: RewriteContext = {
    g,
    producer: (value) => (value === undefined ? undefined : producers.get(value)),
    uses: (value) => counts.get(value) ?? 0,
  };
  for (const original of graph.nodes) {
    const node: Node = { ...original, inputs: original.inputs.map(current) };
    const replacement = rule(node, context);
    if (replacement === undefined) g.nodes.push(node);
    else {
      const output = original.outputs[0]!;
      replaced.set(output, replacement);
      const dropped = node.inputs.filter((input) => input === replacement).length;
      counts.set(replacement, (counts.get(replacement) ?? 0) + (counts.get(output) ?? 0) - dropped);
    }
    indexNew();
  }
  const outputs = graph.outputs.map(({ name, value }) => ({ name, value: current(value)! }));
  return g.finish(graph.name, outputs);
}
