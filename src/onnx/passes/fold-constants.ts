/**
 * Computes nodes whose operands are all constants, for operators whose float32 result is exact by IEEE 754, so that folding never
 * changes a bit. The others are left to the runtime, which folds them when it loads the graph.
 */

import { sizeOf } from '../../contract/counts.ts';
import { dense, fill } from '../builder.ts';
import type { Data, Graph, Node, Shape, Value } from '../graph.ts';
import { rewrite } from './rewrite.ts';

/** Larger results are left in the graph: a constant costs file size, a node costs a little time. */
const sizeMax = 4096;

const unary: Readonly<Record<string, (x: number) => number>> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Floor: Math.floor,
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
  Relu: (x) => Math.max(x, 0),
  Sign: Math.sign,
  Sqrt: Math.sqrt,
};

const binary: Readonly<Record<string, (a: number, b: number) => number>> = {
  Add: (a, b) => a + b,
  Div: (a, b) => a / b,
  Max: Math.max,
  Min: Math.min,
  Mul: (a, b) => a * b,
  Sub: (a, b) => a - b,
};

export function foldConstants(graph: Graph): Graph {
  return rewrite(graph, (node) => {
    const [output] = node.outputs as [Value];
    const isFloat = [output, ...node.inputs].every((value) => value?.dtype === 'float32');
    if (!isFloat || node.inputs.length === 0 || !node.inputs.every((input) => input?.constant !== undefined))
      return undefined;
    return fold(node, output);
  });
}

function fold({ op, inputs }: Node, { dtype, shape }: Value): Value | undefined {
  const operands = inputs as readonly Value[];
  const f = operands.length === 1 ? unary[op] : operands.length === 2 ? binary[op] : undefined;
  if (f === undefined) return undefined;
  if (operands.every(({ constant }) => constant!.kind === 'fill')) {
    const values = operands.map(({ constant }) => Math.fround((constant as { fill: number }).fill)) as [number, number];
    return fill(Math.fround(f(...values)), dtype, shape);
  }
  if (sizeOf(shape) > sizeMax) return undefined;
  return dense(elementwise(f, operands, shape), dtype, shape);
}

/** The operands' elements, broadcast to `shape`. */
function elementwise(f: (...x: [number, number]) => number, operands: readonly Value[], shape: Shape): Data {
  const readers = operands.map((operand) => reader(operand, shape)) as [(i: number) => number, (i: number) => number];
  return Float32Array.from({ length: sizeOf(shape) }, (_, i) =>
    f(...(readers.map((read) => read(i)) as [number, number])),
  );
}

/** Element i of `shape`, row-major, of an operand that broadcasts to it. */
function reader({ constant, shape: own }: Value, shape: Shape): (i: number) => number {
  if (constant!.kind === 'fill') {
    const value = Math.fround(constant!.fill);
    return () => value;
  }
  const { data } = constant as { data: Data };
  const strides = broadcastStrides(own, shape);
  return (i) => {
    let [rest, at] = [i, 0];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += (rest % shape[axis]!) * strides[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    return Number(data[at]);
  };
}

/** Elements to skip per step along each dimension of `shape`; 0 if `own` is repeated. */
function broadcastStrides(own: Shape, shape: Shape): number[] {
  const strides = Array<number>(shape.length).fill(0);
  let stride = 1;
  for (let axis = own.length - 1; axis >= 0; axis--) {
    if (own[axis] !== 1) strides[axis + shape.length - own.length] = stride;
    stride *= own[axis]!;
  }
  return strides;
}
