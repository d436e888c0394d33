/** Small graphs as model bytes, for the tests of sessions and workers. */

import { type Builder, createBuilder, dense, fill } from '../../src/onnx/builder.ts';
import { encode } from '../../src/onnx/encode.ts';
import type { Value } from '../../src/onnx/graph.ts';
import { add, mul, sub, unary } from '../../src/onnx/ops/elementwise.ts';
import { matMul } from '../../src/onnx/ops/matmul.ts';
import { reduce } from '../../src/onnx/ops/reduce.ts';
import { concat, reshape } from '../../src/onnx/ops/shape.ts';

const modelOf = (g: Builder, name: string, outputs: Readonly<Record<string, Value>>): Uint8Array => {
  const named = Object.entries(outputs).map(([output, value]) => ({ name: output, value }));
  return encode(g.finish(name, named));
};

/** y [B, 2] = exp(x) * scale, with B symbolic. */
export function exponential(scale: number): Uint8Array {
  const g = createBuilder(new Map([[10007, 'B']]));
  const x = g.input('x', 'float32', [10007, 2]);
  const y = mul(g, unary(g, 'Exp', x), fill(scale, 'float32', []));
  return encode(g.finish('exponential', [{ name: 'y', value: y }]));
}

/** y [1, size] = x W + W's first row, with `size` squared weights inside the model. */
export function product(size: number): Uint8Array {
  const g = createBuilder();
  const x = g.input('x', 'float32', [1, size]);
  const weights = Float32Array.from({ length: size * size }, (_, i) => (i % 7) - 3);
  const w = dense(weights, 'float32', [size, size]);
  const row = dense(weights.subarray(0, size), 'float32', [size]);
  return encode(g.finish('product', [{ name: 'y', value: add(g, matMul(g, x, w), row) }]));
}

/** y [1] of x [size, size]: a product that threads share, then a long row of operators that only one of them can take. */
export function sharedThenAlone(size: number, aloneCount: number): Uint8Array {
  const g = createBuilder();
  const x = g.input('x', 'float32', [size, size]);
  let y = g.emit('ReduceMean', [matMul(g, x, x)], { dtype: 'float32', shape: [] }, { keepdims: { int: 0 } });
  for (let i = 0; i < aloneCount; i++) y = unary(g, 'Tanh', y);
  return modelOf(g, 'sharedThenAlone', { y });
}

/** Two outputs of different types: the index of the largest value of each row, and the row sums twice over. */
export function mixed(): Uint8Array {
  const g = createBuilder();
  const x = g.input('x', 'float32', [2, 3]);
  const rows = g.input('rows', 'int64', [3]);
  const best = g.emit('ArgMax', [x], { dtype: 'int64', shape: [2, 1] }, { axis: { int: 1 } });
  const picked = g.emit('Gather', [x, rows], { dtype: 'float32', shape: [3, 3] }, { axis: { int: 0 } });
  const positive = g.emit('Greater', [picked, fill(0, 'float32', [])], { dtype: 'bool', shape: [3, 3] });
  const outputs = { best, picked, positive };
  return modelOf(g, 'mixed', outputs);
}

/** The mean of x [size], and x + 1: a small output, then a large one. */
export function smallAndLarge(size: number): Uint8Array {
  const g = createBuilder();
  const x = g.input('x', 'float32', [size]);
  const mean = g.emit('ReduceMean', [x], { dtype: 'float32', shape: [] }, { keepdims: { int: 0 } });
  const more = add(g, x, fill(1, 'float32', []));
  const outputs = { mean, more };
  return modelOf(g, 'smallAndLarge', outputs);
}

/** y = x [B, 2], computed only where B is 2, whatever the input says. */
export function twoRows(): Uint8Array {
  const g = createBuilder(new Map([[10007, 'B']]));
  const x = g.input('x', 'float32', [10007, 2]);
  const shape = dense(BigInt64Array.of(2n, 2n), 'int64', [2]);
  const y = g.emit('Reshape', [x, shape], { dtype: 'float32', shape: [2, 2] });
  return encode(g.finish('twoRows', [{ name: 'y', value: y }]));
}

const [manyK, manyB] = [10007, 10009];

/** w [K, 2] = 2 x: the first of two graphs to be joined. */
export function doubled(output = 'w', rows = 'K'): Uint8Array {
  const g = createBuilder(new Map([[manyK, rows]]));
  const x = g.input('x', 'float32', [manyK, 2]);
  return encode(g.finish('doubled', [{ name: output, value: mul(g, x, fill(2, 'float32', [])) }]));
}

/** The beginning of the second: `rows` [B, 2] is its input of that name, and `picked` [B, 2] the row of `w` [K, 2] that `index` says. */
function pickingGraph(name: string) {
  const symbols = new Map([
    [manyK, 'K'],
    [manyB, 'B'],
  ]);
  const g = createBuilder(symbols);
  // Declared first, so that numbers of rows are read from it.
  const index = g.input('index', 'int64', [manyB]);
  const w = g.input('w', 'float32', [manyK, 2]);
  const rows = g.input(name, 'float32', [manyB, 2]);
  const picked = g.emit('Gather', [w, index], { dtype: 'float32', shape: [manyB, 2] });
  return { g, index, rows, picked };
}

/** The second of them: z [B, 2] = w of the row's index, times y, plus 1; `rows` [B, 1] is 1. With `mixes` also arithmetic on the index; with `biasShape` a product. */
export function timesPicked({
  mixes = false,
  biasShape,
}: {
  readonly mixes?: boolean;
  readonly biasShape?: readonly number[];
} = {}): Uint8Array {
  const { g, index, rows: y, picked } = pickingGraph('y');
  const rows = g.emit('Expand', [fill(1, 'float32', [1, 1]), g.shapeTensor([manyB, 1])], {
    dtype: 'float32',
    shape: [manyB, 1],
  });
  const z = add(g, mul(g, picked, y), rows);
  const mixed = () => g.emit('Add', [index, index], { dtype: 'int64', shape: [manyB] });
  const product = (shape: readonly number[]) =>
    g.emit('Gemm', [y, fill(1, 'float32', [2, 1]), fill(0.5, 'float32', shape)], {
      dtype: 'float32',
      shape: [manyB, 1],
    });
  const outputs = { z, rows, ...(mixes && { mixed: mixed() }), ...(biasShape && { product: product(biasShape) }) };
  return modelOf(g, 'timesPicked', outputs);
}

/**
 * The second of them as a critic of `action` a [B, 2]: two values, w a - a a / 2 with the gradient w - a, and 1 - a a with -2 a. `w` is of the
 * row's index.
 */
export function climbableCritic(): Uint8Array {
  const { g, rows: a, picked } = pickingGraph('action');
  const number = (value: number) => fill(value, 'float32', []);
  const sum = (x: typeof a) => reduce(g, 'ReduceSum', x, { axes: [1], keepDims: true }); // [B, 1]
  const square = sum(mul(g, a, a));
  const first = sub(g, sum(mul(g, picked, a)), mul(g, square, number(0.5)));
  const second = sub(g, number(1), square);
  const member = (x: typeof a) => reshape(g, x, [manyB, 1, 2]);
  const slopes = [sub(g, picked, a), mul(g, a, number(-2))].map(member);
  const outputs = { q: concat(g, [first, second], 1), dq_da: concat(g, slopes, 1) };
  return modelOf(g, 'climbableCritic', outputs);
}
