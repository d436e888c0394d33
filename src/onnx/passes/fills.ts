/**
 * Constants whose elements are all equal: shrinks them to one element where the operator broadcasts anyway, and computes at
 * run time those whose shape is symbolic (the encoder would otherwise write them at the sentinel size).
 */

import { type Builder, createBuilder, fill } from '../builder.ts';
import { type Graph, isSymbolic, sameShape, type Value } from '../graph.ts';
import { broadcasting, rewrite } from './rewrite.ts';

/** Makes equal-element constants scalars where another operand already has the output's shape. */
export function shrinkFills(graph: Graph): Graph {
  return rewrite(graph, (node, { g }) => {
    if (!broadcasting.has(node.op)) return undefined;
    const output = node.outputs[0]!;
    const hasOutputShape = (value: Value | undefined) => value !== undefined && sameShape(value.shape, output.shape);
    const inputs = node.inputs.map((input, i) => {
      const shrinks =
        input?.constant?.kind === 'fill' &&
        input.shape.length > 0 &&
        node.inputs.some((other, j) => j !== i && hasOutputShape(other) && other?.constant === undefined);
      return shrinks ? fill((input.constant as { fill: number }).fill, input.dtype, []) : input;
    });
    if (inputs.every((input, i) => input === node.inputs[i])) return undefined;
    return g.emit(node.op, inputs, output, node.attributes);
  });
}

/** Replaces equal-element constants of symbolic shape by an `Expand` of one element. */
export function materialiseFills(graph: Graph): Graph {
  const made = new Map<Value, Value>();
  const materialise = (value: Value, g: Builder): Value => {
    if (value.constant === undefined || !value.shape.some((size) => isSymbolic(size, graph.symbols))) return value;
    if (value.constant.kind === 'dense') {
      throw new Error(`constant [${value.shape}]: expected equal elements where a dimension is symbolic, got others`);
    }
    let run = made.get(value);
    if (run === undefined) {
      run = g.emit('Expand', [fill(value.constant.fill, value.dtype, []), g.shapeTensor(value.shape)], value);
      made.set(value, run);
    }
    return run;
  };
  const rewritten = rewrite(graph, (node, { g }) => {
    const inputs = node.inputs.map((input) => input && materialise(input, g));
    if (inputs.every((input, i) => input === node.inputs[i])) return undefined;
    return g.emit(node.op, inputs, node.outputs[0]!, node.attributes);
  });
  const tail = createBuilder(graph.symbols, graph.inputs);
  const outputs = rewritten.outputs.map(({ name, value }) => ({ name, value: materialise(value, tail) }));
  return { ...rewritten, nodes: [...rewritten.nodes, ...tail.nodes], outputs };
}
