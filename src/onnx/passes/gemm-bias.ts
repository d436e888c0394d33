/**
 * Moves a bias addition into the matrix product before it: Add(Gemm(a, b), c) -> Gemm(a, b, c). If that has another product in that place
 * already, into the other one: Add(Gemm(a, b, Gemm(d, e)), c) -> Gemm(a, b, Gemm(d, e, c)).
 */

import type { Graph, Node, Value } from '../graph.ts';
import { reshape } from '../ops/shape.ts';
import { type RewriteContext, rewrite } from './rewrite.ts';

export function fuseGemmBias(graph: Graph): Graph {
  return rewrite(graph, (node, context) => {
    if (node.op !== 'Add') return undefined;
    const [a, b] = node.inputs as [Value, Value];
    return fuse(node, a, b, context) ?? fuse(node, b, a, context);
  });
}

function fuse(node: Node, product: Value, bias: Value, context: RewriteContext): Value | undefined {
  const { g, producer, uses } = context;
  const gemm = producer(product);
  if (gemm?.op !== 'Gemm' || uses(product) !== 1 || !broadcasts(bias, product)) return undefined;
  const [a, b, added] = gemm.inputs as [Value, Value, Value | undefined];
  const whole = added === undefined ? withDimension(bias, context) : fuse(node, added, bias, context);
  return whole && g.emit('Gemm', [a, b, whole], node.outputs[0]!, gemm.attributes);
}

/** The runtime's webgpu ends the process at a bias without dimensions. */
function withDimension(bias: Value, { g }: RewriteContext): Value {
  if (bias.shape.length > 0) return bias;
  return bias.constant === undefined ? reshape(g, bias, [1]) : { ...bias, shape: [1] };
}

function broadcasts({ shape }: Value, { shape: [rows, columns] }: Value): boolean {
  const [biasRows, biasColumns] = [shape.at(-2) ?? 1, shape.at(-1) ?? 1];
  return shape.length <= 2 && (biasRows === 1 || biasRows === rows) && (biasColumns === 1 || biasColumns === columns);
}
