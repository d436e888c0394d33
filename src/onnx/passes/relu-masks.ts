/**
 * ReLU's mask from its result, which is positive where its input is: Greater(x, 0) -> Greater(Relu(x), 0). Then nothing else reads x, and
 * the runtime computes a product and its ReLU in one node.
 */

import type { Graph, Value } from '../graph.ts';
import { rewrite } from './rewrite.ts';

export function readReluMasks(graph: Graph): Graph {
  const results = new Map<Value, Value>();
  return rewrite(graph, ({ op, inputs, outputs }, { g }) => {
    const [x, limit] = inputs as [Value, Value | undefined];
    if (op === 'Relu') results.set(x, outputs[0]!);
    const result = results.get(x);
    const isMask = op === 'Greater' && limit?.constant?.kind === 'fill' && limit.constant.fill === 0;
    return isMask && result !== undefined ? g.emit('Greater', [result, limit], outputs[0]!) : undefined;
  });
}
