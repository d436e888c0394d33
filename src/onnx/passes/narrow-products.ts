/**
 * Products over many rows with a narrow right side, as the gradient of an output layer's weight is: a^T b = (b^T a)^T. The runtime transposes a's
 * columns into blocks of its own; b has few of them, so to turn the product takes half of the time (test/bench/NOTES.md). The order of the
 * additions may differ. As a `MatMul`, since the runtime would turn a `Gemm` before a `Transpose` back.
 */

import { type Graph, isSymbolic, type Value } from '../graph.ts';
import { add } from '../ops/elementwise.ts';
import { transpose } from '../ops/shape.ts';
import { rewrite } from './rewrite.ts';

/** Fewer rows, one column, more of them, or a left side that is hardly wider were not faster. */
const rowsMin = 256;
const [columnsMin, columnsMax] = [2, 20];
const widthRatioMin = 4;

/** For the end: `foldTransposes` would turn the products back. */
export function turnNarrowProducts(graph: Graph): Graph {
  return rewrite(graph, ({ op, inputs, attributes }, { g }) => {
    if (op !== 'Gemm') return undefined;
    const { transA, transB } = attributes as Readonly<Record<'transA' | 'transB', { readonly int: number }>>;
    if (transA.int !== 1 || transB.int !== 0) return undefined;
    const [a, b, added] = inputs as [Value, Value, Value | undefined];
    const [rows, width] = a.shape as [number, number];
    const columns = b.shape[1]!;
    const isNarrow = columns >= columnsMin && columns <= columnsMax && width >= widthRatioMin * columns;
    if (!isNarrow || rows < rowsMin || isSymbolic(rows, graph.symbols)) return undefined;
    const turned = g.emit('MatMul', [transpose(g, b, [1, 0]), a], { dtype: 'float32', shape: [columns, width] });
    const product = transpose(g, turned, [1, 0]);
    return added === undefined ? product : add(g, product, added);
  });
}
