/**
 * Products over thousands of rows in parts of some hundred. The runtime passes over all rows of the operand and of the result for each
 * block of the other matrix, so both should stay in the cache: a [4096, 1024] x [1024, 1024] product runs at 0.6 of the speed of a
 * [512, 1024] x [1024, 1024] one on one thread. Cutting and joining copies are in what is gained (test/bench/NOTES.md). For the CPU, and
 * for single runs: a loop of runs (loop.ts) is for devices.
 */

import type { Builder } from '../builder.ts';
import { type Graph, isSymbolic, type Node, type Value } from '../graph.ts';
import { reduce } from '../ops/reduce.ts';
import { concat, reshape, transpose } from '../ops/shape.ts';
import { rewrite } from './rewrite.ts';

/** Rows from which a product is cut, and those of a part. */
const rowsMin = 2048;
const partRowsMin = 256;
const partRowsMax = 512;
/** Narrower matrices fit into the cache with all their rows, or were not measured. */
const widthMin = 512;
/** Parts whose products are all in memory before they are summed: each is as large as the sum. */
const summedCountMax = 16;

export function cutLongProducts(graph: Graph): Graph {
  const cuts = new Map<Value, readonly Value[]>();
  return rewrite(graph, (node, { g }) => {
    if (node.op !== 'Gemm') return undefined;
    const [a, b, bias] = node.inputs as [Value, Value, Value | undefined];
    const [rows, width] = a.shape as [number, number];
    const count = isSymbolic(rows, graph.symbols) ? undefined : partCount(rows);
    if (count === undefined || Math.min(width, ...b.shape) < widthMin) return undefined;
    if (isSet(node, 'transA')) {
      return bias === undefined && !isSet(node, 'transB') && count <= summedCountMax
        ? sumOfParts(g, a, b, count)
        : undefined;
    }
    const partsOf = (value: Value): readonly Value[] => {
      const known = cuts.get(value) ?? split(g, value, count);
      cuts.set(value, known);
      return known;
    };
    const biases = bias?.shape.length === 2 && bias.shape[0] === rows ? partsOf(bias) : undefined;
    const parts = partsOf(a).map((part, i) => {
      const shape = [part.shape[0]!, node.outputs[0]!.shape[1]!];
      const operands = [part, b, ...(bias === undefined ? [] : [biases?.[i] ?? bias])];
      return g.emit('Gemm', operands, { dtype: 'float32', shape }, node.attributes);
    });
    return concat(g, parts, 0);
  });
}

/** Parts of equal size within the bounds; undefined if there are none. */
function partCount(rows: number): number | undefined {
  if (rows < rowsMin) return undefined;
  for (let count = Math.ceil(rows / partRowsMax); count <= rows / partRowsMin; count++) {
    if (rows % count === 0) return count;
  }
  return undefined;
}

const isSet = ({ attributes }: Node, flag: string): boolean => (attributes[flag] as { int: number }).int === 1;

/** a^T b as the sum of its parts, each of some rows of both: their shares of one batched product. */
function sumOfParts(g: Builder, a: Value, b: Value, count: number): Value {
  const [left, right] = [a, b].map((x) => reshape(g, x, [count, x.shape[0]! / count, x.shape[1]!])) as [Value, Value];
  const shape = [count, a.shape[1]!, b.shape[1]!];
  const products = g.emit('MatMul', [transpose(g, left, [0, 2, 1]), right], { dtype: 'float32', shape });
  return reduce(g, 'ReduceSum', products, { axes: [0], keepDims: false });
}

function split(g: Builder, x: Value, count: number): readonly Value[] {
  const outputs = Array.from({ length: count }, () => ({
    dtype: x.dtype,
    shape: [x.shape[0]! / count, ...x.shape.slice(1)],
  }));
  g.nodes.push({ op: 'Split', inputs: [x], outputs, attributes: { axis: { int: 0 }, num_outputs: { int: count } } });
  return outputs;
}
