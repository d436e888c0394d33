/**
 * Sums over the rows of a matrix, as the gradient of a bias is. The runtime adds rows of [B, N] one element at a time, in one thread
 * where N is small and across threads by columns where it is large; a product with ones, or two halves that threads add beside each
 * other, takes a fifth to a twentieth of that. The order of the additions differs.
 */

import { sizeOf } from '../../contract/counts.ts';
import { constantValues, fill } from '../builder.ts';
import { type Graph, isSymbolic, type Value } from '../graph.ts';
import { reduce } from '../ops/reduce.ts';
import { reshape } from '../ops/shape.ts';
import { type RewriteContext, rewrite } from './rewrite.ts';

/** Elements from which a matrix is in the caches of the threads that wrote its rows, and is best summed by them. */
const largeElementCount = 2 ** 17;

export function replaceRowSums(graph: Graph): Graph {
  return rewrite(graph, ({ op, inputs, outputs }, { g }) => {
    const x = inputs[0];
    if (op !== 'ReduceSum' || x?.dtype !== 'float32' || x.shape.length !== 2) return undefined;
    const axes = constantValues(inputs[1]!);
    const [rows, columns] = x.shape as [number, number];
    if (axes?.length !== 1 || axes[0] !== 0 || rows === 1 || columns === 1 || isSymbolic(rows, graph.symbols)) {
      return undefined;
    }
    const sum = sizeOf(x.shape) < largeElementCount || rows % 2 === 1 ? product(g, x) : sumOfHalves(g, x);
    return reshape(g, sum, outputs[0]!.shape);
  });
}

/** 1 x, [N]. */
function product(g: RewriteContext['g'], x: Value): Value {
  const [rows, columns] = x.shape as [number, number];
  return g.emit('MatMul', [fill(1, 'float32', [rows]), x], { dtype: 'float32', shape: [columns] });
}

/** The upper half's sum and the lower's, [N]. */
function sumOfHalves(g: RewriteContext['g'], x: Value): Value {
  const [rows, columns] = x.shape as [number, number];
  const halves = reduce(g, 'ReduceSum', reshape(g, x, [2, rows / 2, columns]), { axes: [1], keepDims: false });
  return reduce(g, 'ReduceSum', halves, { axes: [0], keepDims: false });
}
