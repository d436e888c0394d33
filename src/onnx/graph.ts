/**
 * The graph that everything here speaks: values with a type and a concrete shape, and nodes that make values from values.
 * Nodes and values are immutable; a pass builds a new node list.
 *
 * Symbolic dimensions: a graph is built at a sentinel size (a large prime) per symbol, so shapes are always numbers;
 * `symbols` says which sizes stand for a name.
 */

export type Dtype = 'float32' | 'int32' | 'int64' | 'bool';
export type Shape = readonly number[];
export type Data = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/** What holds the elements of each type. */
export const arrayTypes = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array, bool: Uint8Array };

/** `fill`: every element has that value, which stays known however large the shape is. */
export type Constant =
  | { readonly kind: 'fill'; readonly fill: number }
  | { readonly kind: 'dense'; readonly data: Data };

/** Identity is the key: two values with equal fields are two values. */
export type Value = { readonly dtype: Dtype; readonly shape: Shape; readonly constant?: Constant };

export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string }
  /** A graph that the node runs. It may read values of the graph around it; names of its inputs and outputs are its own. */
  | { readonly graph: Graph };

export type Node = {
  /** Operator of the standard ONNX domain. */
  readonly op: string;
  /** `undefined` skips an optional input. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, Attribute>>;
};

export type NamedValue = { readonly name: string; readonly value: Value };

/** Sentinel size -> symbol, e.g. 10007 -> `B`. */
export type Symbols = ReadonlyMap<number, string>;

export type Graph = {
  readonly name: string;
  readonly inputs: readonly NamedValue[];
  readonly outputs: readonly NamedValue[];
  /** In topological order. */
  readonly nodes: readonly Node[];
  readonly symbols: Symbols;
};

export const sameShape = (a: Shape, b: Shape): boolean => a.length === b.length && a.every((size, i) => size === b[i]);

/** Whether a size is a sentinel or a multiple of one. */
export const isSymbolic = (size: number, symbols: Symbols): boolean =>
  [...symbols.keys()].some((sentinel) => size !== 0 && size % sentinel === 0);

/** How often each value is read, graph outputs included. */
export function useCounts({ nodes, outputs }: Graph): ReadonlyMap<Value, number> {
  const counts = new Map<Value, number>();
  const read = (value: Value | undefined) => value && counts.set(value, (counts.get(value) ?? 0) + 1);
  for (const node of nodes) node.inputs.forEach(read);
  for (const { value } of outputs) read(value);
  return counts;
}
