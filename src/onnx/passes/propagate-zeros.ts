/**
 * Zero in, zero out: x - x, and operators that are linear in an operand that is zero. A Hessian of a divergence at its own minimum
 * loses half of its graph so: what multiplies the vanished first derivative goes (the Gauss-Newton form). Values are taken to be finite.
 */

import { fill } from '../builder.ts';
import type { Graph, Node, Value } from '../graph.ts';
import { rewrite } from './rewrite.ts';

/** Operators that give zero where any of these operands is zero; all of them where the list is empty. */
const zeroing: Readonly<Record<string, readonly number[]>> = {
  Concat: [],
  CumSum: [0],
  Div: [0],
  Gather: [0],
  Gemm: [0, 1],
  MatMul: [0, 1],
  Mul: [0, 1],
  Neg: [0],
  ReduceMean: [0],
  ReduceSum: [0],
  Slice: [0],
  Tile: [0],
};

export function propagateZeros(graph: Graph): Graph {
  return rewrite(graph, (node) => {
    const { dtype, shape } = node.outputs[0]!;
    return isZero(node) ? fill(0, dtype, shape) : undefined;
  });
}

function isZero({ op, inputs }: Node): boolean {
  if (op === 'Sub') return inputs[0] === inputs[1];
  if (op === 'Where') return isZeroFill(inputs[1]) && isZeroFill(inputs[2]);
  const operands = zeroing[op];
  // A third operand of Gemm is added.
  if (operands === undefined || (op === 'Gemm' && inputs.length > 2)) return false;
  return operands.length === 0 ? inputs.every(isZeroFill) : operands.some((i) => isZeroFill(inputs[i]));
}

const isZeroFill = (value: Value | undefined): boolean => value?.constant?.kind === 'fill' && value.constant.fill === 0;
