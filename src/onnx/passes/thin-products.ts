/**
 * Batched products with an inner size of 1 or a single row and column are elementwise products: runtimes call a matrix
 * kernel for each batch entry, which costs more than the arithmetic. [.., M, 1] x [.., 1, N] is a broadcast product with the
 * same bits; [.., 1, K] x [.., K, 1] a product and a sum, whose order differs.
 */

import type { Graph, Value } from '../graph.ts';
import { mul } from '../ops/elementwise.ts';
import { reduce } from '../ops/reduce.ts';
import { reshape } from '../ops/shape.ts';
import { rewrite } from './rewrite.ts';

export function replaceThinProducts(graph: Graph): Graph {
  return rewrite(graph, ({ op, inputs, outputs }, { g }) => {
    if (op !== 'MatMul') return undefined;
    const [a, b] = inputs as [Value, Value];
    if (a.shape.length < 3 || b.shape.length < 3) return undefined;
    if (a.shape.at(-1) === 1) return mul(g, a, b);
    const { shape } = outputs[0]!;
    const [rows, columns] = shape.slice(-2);
    if (rows !== 1 || columns !== 1) return undefined;
    const row = reshape(g, b, [...b.shape.slice(0, -2), 1, b.shape.at(-2)!]);
    return reduce(g, 'ReduceSum', mul(g, a, row), { axes: [shape.length - 1], keepDims: true });
  });
}
