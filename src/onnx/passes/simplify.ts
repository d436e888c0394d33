/** Algebraic no-ops, each rule on its own: x * 1, x + 0, reshapes of reshapes, transposes that cancel, sums over one element. */

import { sizeOf } from '../../contract/counts.ts';
import { constantValues, fill } from '../builder.ts';
import { type Graph, type Node, sameShape, type Value } from '../graph.ts';
import { expand, reshape, transpose } from '../ops/shape.ts';
import { type RewriteContext, type Rule, rewrite } from './rewrite.ts';

export function simplify(graph: Graph): Graph {
  return rewrite(graph, (node, context) => rules[node.op]?.(node, context));
}

const rules: Readonly<Record<string, Rule>> = {
  Add: (node, context) => neutral(node, context, 0) ?? zeroless(node) ?? signed(node, context, 'Sub'),
  Sub: (node, context) => neutralRight(node, context, 0) ?? signed(node, context, 'Add'),
  Mul: (node, context) => neutral(node, context, 1),
  Div: (node, context) => neutralRight(node, context, 1),
  Identity: ({ inputs }) => inputs[0],
  Cast: (node) => (node.inputs[0]!.dtype === node.outputs[0]!.dtype ? node.inputs[0] : undefined),
  Expand: (node) => (sameShape(node.inputs[0]!.shape, node.outputs[0]!.shape) ? node.inputs[0] : expandFill(node)),
  Reshape: simplifyReshape,
  Transpose: simplifyTranspose,
  ReduceSum: sumOfOnes,
  ReduceMean: sumOfOnes,
};

const fillOf = (value: Value | undefined): number | undefined => {
  if (value?.constant === undefined) return undefined;
  if (value.constant.kind === 'fill') return value.constant.fill;
  return sizeOf(value.shape) === 1 ? Number(value.constant.data[0]) : undefined;
};

/** x op n = x for a neutral n on the right. */
function neutralRight({ inputs, outputs }: Node, { g }: RewriteContext, value: number): Value | undefined {
  const [a, b] = inputs as [Value, Value];
  return fillOf(b) === value && a.constant === undefined ? expand(g, a, outputs[0]!.shape) : undefined;
}

/** The same on either side. */
function neutral(node: Node, context: RewriteContext, value: number): Value | undefined {
  const [a, b] = node.inputs as [Value, Value];
  return neutralRight(node, context, value) ?? neutralRight({ ...node, inputs: [b, a] }, context, value);
}

/** a + (-b) = a - b, and a - (-b) = a + b; either operand of a sum. */
function signed(
  { op, inputs, outputs }: Node,
  { g, producer }: RewriteContext,
  inverse: 'Add' | 'Sub',
): Value | undefined {
  const [a, b] = inputs as [Value, Value];
  const negated = (value: Value) => {
    const node = producer(value);
    return node?.op === 'Neg' ? node.inputs[0]! : undefined;
  };
  const right = negated(b);
  if (right !== undefined) return g.emit(inverse, [a, right], outputs[0]!);
  const left = op === 'Add' ? negated(a) : undefined;
  return left === undefined ? undefined : g.emit('Sub', [b, left], outputs[0]!);
}

/** 0 + 0, both constants. */
function zeroless({ inputs, outputs }: Node): Value | undefined {
  return inputs.every((input) => fillOf(input) === 0) ? fill(0, outputs[0]!.dtype, outputs[0]!.shape) : undefined;
}

/** Expanding a constant whose elements are equal only changes its shape. */
function expandFill({ inputs, outputs }: Node): Value | undefined {
  const value = fillOf(inputs[0]);
  return value === undefined ? undefined : fill(value, outputs[0]!.dtype, outputs[0]!.shape);
}

function simplifyReshape({ inputs, outputs }: Node, { g, producer }: RewriteContext): Value | undefined {
  const x = inputs[0]!;
  const { shape, dtype } = outputs[0]!;
  if (sameShape(x.shape, shape)) return x;
  if (x.constant?.kind === 'fill') return fill(x.constant.fill, dtype, shape);
  const inner = producer(x);
  return inner?.op === 'Reshape' ? reshape(g, inner.inputs[0]!, shape) : undefined;
}

function simplifyTranspose({ inputs, outputs, attributes }: Node, { g, producer }: RewriteContext): Value | undefined {
  const x = inputs[0]!;
  if (x.constant?.kind === 'fill') return fill(x.constant.fill, x.dtype, outputs[0]!.shape);
  const outer = permutationOf(attributes);
  const inner = producer(x);
  if (inner?.op === 'Transpose') {
    const before = permutationOf(inner.attributes);
    return transpose(
      g,
      inner.inputs[0]!,
      outer.map((axis) => before[axis]!),
    );
  }
  // Moving only axes of size 1 keeps the order of the elements.
  const moved = outer.filter((axis) => x.shape[axis] !== 1);
  return moved.every((axis, i) => i === 0 || axis > moved[i - 1]!) ? reshape(g, x, outputs[0]!.shape) : undefined;
}

const permutationOf = (attributes: Node['attributes']): readonly number[] => {
  const perm = attributes.perm;
  return perm !== undefined && 'ints' in perm ? perm.ints : [];
};

/** Reducing axes of size 1 is a reshape. */
function sumOfOnes({ inputs, outputs }: Node, { g }: RewriteContext): Value | undefined {
  const x = inputs[0]!;
  const axes = constantValues(inputs[1]!);
  return axes?.every((axis) => x.shape[axis] === 1) ? reshape(g, x, outputs[0]!.shape) : undefined;
}
