/** Moves transposes of matrices into the product beside them, where they are flags: Gemm(At, B) and (Gemm(A, B))t. */

import type { Graph, Node, Value } from '../graph.ts';
import { rewrite } from './rewrite.ts';

export function foldTransposes(graph: Graph): Graph {
  return rewrite(graph, (node, { g, producer, uses }) => {
    const output = node.outputs[0]!;
    if (node.op === 'Gemm') {
      const sides = node.inputs.slice(0, 2).map((input) => ({ input, source: swapped(producer(input)) }));
      if (sides.every(({ source }) => source === undefined)) return undefined;
      const operands = sides.map(({ input, source }) => source ?? input);
      const [transA, transB] = flags(node).map((flag, i) => (sides[i]!.source === undefined ? flag : 1 - flag));
      return g.emit('Gemm', [...operands, ...node.inputs.slice(2)], output, {
        transA: { int: transA! },
        transB: { int: transB! },
      });
    }
    // (op(A) op(B))t = op(B)t op(A)t. Only if the untransposed product has no other reader, else there would be two.
    const product = swapped(node);
    const gemm = producer(product);
    if (product === undefined || gemm?.op !== 'Gemm' || gemm.inputs.length > 2 || uses(product) !== 1) return undefined;
    const [transA, transB] = flags(gemm);
    return g.emit('Gemm', [gemm.inputs[1], gemm.inputs[0]], output, {
      transA: { int: 1 - transB! },
      transB: { int: 1 - transA! },
    });
  });
}

/** The matrix that a node transposes. */
function swapped(node: Node | undefined): Value | undefined {
  const input = node?.op === 'Transpose' ? node.inputs[0] : undefined;
  return input?.shape.length === 2 ? input : undefined;
}

const flags = ({ attributes }: Node): [number, number] => [
  (attributes.transA as { int: number }).int,
  (attributes.transB as { int: number }).int,
];
