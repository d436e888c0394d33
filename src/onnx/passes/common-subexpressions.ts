/** Merges nodes that compute the same thing from the same values, and equal small constants. */

import type { Constant, Graph, Value } from '../graph.ts';
import { rewrite } from './rewrite.ts';

/** Constants above this many elements are compared by identity only. */
const contentSizeMax = 64;

/** Operators whose two operands may be swapped without changing a bit. */
const commutative = new Set(['Add', 'And', 'Equal', 'Mul', 'Or']);

export function mergeCommonSubexpressions(graph: Graph): Graph {
  const keys = new Map<Value, string>();
  const seen = new Map<string, Value>();
  const keyOf = (value: Value | undefined): string => {
    if (value === undefined) return '-';
    let key = keys.get(value);
    if (key === undefined) {
      key = contentKey(value) ?? `#${keys.size}`;
      keys.set(value, key);
    }
    return key;
  };
  return rewrite(graph, (node) => {
    if (node.outputs.length !== 1) return undefined;
    const output = node.outputs[0]!;
    const key = [
      node.op,
      JSON.stringify(node.attributes),
      `${output.dtype}[${output.shape}]`,
      ...(commutative.has(node.op) ? node.inputs.map(keyOf).sort() : node.inputs.map(keyOf)),
    ].join('|');
    const earlier = seen.get(key);
    if (earlier === undefined) seen.set(key, output);
    return earlier;
  });
}

/** A key by content for values that are constants small enough to compare. */
function contentKey({ dtype, shape, constant }: Value): string | undefined {
  if (constant === undefined) return undefined;
  const content = elements(constant);
  return content === undefined ? undefined : `${dtype}[${shape}]=${content}`;
}

function elements(constant: Constant): string | undefined {
  if (constant.kind === 'fill') return textOf(constant.fill);
  return constant.data.length <= contentSizeMax
    ? `[${Array.from<number | bigint, string>(constant.data, textOf)}]`
    : undefined;
}

const textOf = (value: number | bigint): string => (Object.is(value, -0) ? '-0' : `${value}`);
