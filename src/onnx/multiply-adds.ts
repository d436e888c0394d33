/** How much a graph computes, known before it runs. */

import { sizeOf } from '../contract/counts.ts';
import type { Graph, Node, Value } from './graph.ts';

/** Multiply-adds of a graph's matrix products; the rest is little beside them. Symbolic sizes count as while tracing. */
export const multiplyAdds = ({ nodes }: Graph): number => nodes.reduce((sum, node) => sum + nodeMultiplyAdds(node), 0);

/** Those of one node; 0 if it is no product. */
export function nodeMultiplyAdds({ op, inputs, outputs, attributes }: Node): number {
  if (op !== 'Gemm' && op !== 'MatMul') return 0;
  const { shape } = inputs[0] as Value;
  const isTransposed = (attributes.transA as { int: number } | undefined)?.int === 1;
  return sizeOf(outputs[0]!.shape) * shape.at(isTransposed ? -2 : -1)!;
}
