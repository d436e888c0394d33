/** Emits nodes into a list. Owns constants and shape tensors; the operators themselves are in ops/. */

import { sizeOf } from '../contract/counts.ts';
import type { Attribute, Data, Dtype, Graph, NamedValue, Node, Shape, Symbols, Value } from './graph.ts';

export type Builder = {
  readonly nodes: Node[];
  readonly symbols: Symbols;
  /** Declares a graph input. */
  input(name: string, dtype: Dtype, shape: Shape): Value;
  /** Adds a node with one output. */
  emit(
    op: string,
    inputs: readonly (Value | undefined)[],
    output: { readonly dtype: Dtype; readonly shape: Shape },
    attributes?: Readonly<Record<string, Attribute>>,
  ): Value;
  /** An int64 tensor [rank] of sizes for Reshape, Expand and the like; computed at run time where a size is symbolic. */
  shapeTensor(shape: Shape): Value;
  finish(name: string, outputs: readonly NamedValue[]): Graph;
};

/** A constant with every element equal. */
export const fill = (value: number, dtype: Dtype, shape: Shape): Value => ({
  dtype,
  shape,
  constant: { kind: 'fill', fill: value },
});

/** A constant with its data, row-major. */
export const dense = (data: Data, dtype: Dtype, shape: Shape): Value => ({
  dtype,
  shape,
  constant: { kind: 'dense', data },
});

/** An int64 constant [n], the form in which ONNX takes axes, sizes and offsets. */
export const integers = (values: readonly number[]): Value =>
  dense(BigInt64Array.from(values, BigInt), 'int64', [values.length]);

/**
 * A builder for one graph.
 * @param symbols sentinel sizes of symbolic dimensions; inputs declared with a sentinel size are where it is read from
 * @param inputs already declared inputs (a pass that rebuilds a graph)
 */
export function createBuilder(symbols: Symbols = new Map(), inputs: readonly NamedValue[] = []): Builder {
  const nodes: Node[] = [];
  const declared: NamedValue[] = [...inputs];

  function emit(
    op: string,
    operands: readonly (Value | undefined)[],
    output: { readonly dtype: Dtype; readonly shape: Shape },
    attributes: Readonly<Record<string, Attribute>> = {},
  ): Value {
    const value: Value = { dtype: output.dtype, shape: output.shape };
    nodes.push({ op, inputs: operands, outputs: [value], attributes });
    return value;
  }

  /** One size as an int64 tensor [1]. */
  function sizeTensor(size: number): Value {
    for (const [sentinel, symbol] of symbols) {
      if (size === 0 || size % sentinel !== 0) continue;
      const source = declared.find(({ value }) => value.shape.includes(sentinel))?.value;
      if (source === undefined) throw new Error(`symbol "${symbol}": expected an input with that dimension, got none`);
      const axis = source.shape.indexOf(sentinel);
      const one = { dtype: 'int64', shape: [1] } as const;
      const run = emit('Shape', [source], one, { start: { int: axis }, end: { int: axis + 1 } });
      return size === sentinel ? run : emit('Mul', [run, integers([size / sentinel])], one);
    }
    return integers([size]);
  }

  return {
    nodes,
    symbols,
    input(name, dtype, shape) {
      if (declared.some((other) => other.name === name)) throw new Error(`input "${name}" is declared twice`);
      const value: Value = { dtype, shape };
      declared.push({ name, value });
      return value;
    },
    emit,
    shapeTensor(shape) {
      const sizes = shape.map(sizeTensor);
      if (sizes.every((size) => size.constant !== undefined)) return integers(shape);
      if (sizes.length === 1) return sizes[0]!;
      return emit('Concat', sizes, { dtype: 'int64', shape: [shape.length] }, { axis: { int: 0 } });
    },
    finish(name, outputs) {
      return { name, inputs: declared, outputs, nodes, symbols };
    },
  };
}

/** The elements of a constant as numbers. */
export function constantValues({ constant, shape }: Value): number[] | undefined {
  if (constant === undefined) return undefined;
  if (constant.kind === 'fill') return new Array<number>(sizeOf(shape)).fill(constant.fill);
  return Array.from(constant.data as ArrayLike<number | bigint>, Number);
}
