/** Moves a bias addition into the matrix product before it: Add(Gemm(a, b), c) -> Gemm(a, b, c). */

import type { Graph, Node, Value } from '../graph.ts';
import { type RewriteContext, rewrite } from './rewrite.ts';

export function fuseGemmBias(graph: Graph): Graph {
  return rewrite(graph, (node, context) => {
    if (node.op !== 'Add') return undefined;
    const [a, b] = node.inputs as [Value, Value];
    return fuse(node, a, b, context) ?? fuse(node, b, a, context);
  });
}

function fuse(node: Node, product: Value, bias: Value, { g, producer, uses }: RewriteContext): Value | undefined {
  const gemm = producer(product);
  if (gemm?.op !== 'Gemm' || gemm.inputs.length > 2 || uses(product) !== 1) return undefined;
  const [rows, columns] = product.shape as [number, number];
  const [biasRows, biasColumns] = [bias.shape.at(-2) ?? 1, bias.shape.at(-1) ?? 1];
  const broadcasts =
    bias.shape.length <= 2 && (biasRows === 1 || biasRows === rows) && (biasColumns === 1 || biasColumns === columns);
  return broadcasts ? g.emit('Gemm', [...gemm.inputs, bias], node.outputs[0]!, gemm.attributes) : undefined;
}
