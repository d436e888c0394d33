/** Drops nodes whose results nobody reads. */

import type { Graph, Value } from '../graph.ts';

export function removeDeadCode(graph: Graph): Graph {
  const live = new Set<Value>(graph.outputs.map(({ value }) => value));
  const nodes = graph.nodes
    .toReversed()
    .filter((node) => {
      const isLive = node.outputs.some((output) => live.has(output));
      if (isLive) for (const input of node.inputs) if (input !== undefined) live.add(input);
      return isLive;
    })
    .toReversed();
  return { ...graph, nodes };
}
