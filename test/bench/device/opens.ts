/**
 * `node opens.js DEVICE`: runs one graph there, in a process of its own, which a driver may end. Says {@link opened} where it ran, else the reason,
 * and exits with 1. Then it says as JSON what is worth knowing of the device.
 */

import { type Builder, createBuilder, fill } from '../../../src/onnx/builder.ts';
import { encode } from '../../../src/onnx/encode.ts';
import type { Value } from '../../../src/onnx/graph.ts';
import { mul } from '../../../src/onnx/ops/elementwise.ts';
import { matMul } from '../../../src/onnx/ops/matmul.ts';
import { reduce } from '../../../src/onnx/ops/reduce.ts';
import type { Device } from '../../../src/onnx/providers.ts';
import { floatTensor, openSession } from '../../../src/onnx/session.ts';
import { opened } from './opening.ts';

const device = process.argv[2] as Device;
try {
  const [first, second] = run('a small graph', [2], [1, 2], (g, x) => mul(g, x, fill(2, 'float32', [])));
  if (first !== 2 || second !== 4) throw new Error(`a small graph: expected 2,4, got ${first},${second}`);
} catch (error) {
  console.log((error as Error).message);
  process.exit(1);
}
console.log(opened);
tell('productError', productError);
tell('largestError', largestError);

/** Runs a graph of one input. */
function run(name: string, shape: readonly number[], values: readonly number[], of: (g: Builder, x: Value) => Value) {
  const g = createBuilder();
  const x = g.input('x', 'float32', shape);
  const model = encode(g.finish(name, [{ name: 'y', value: of(g, x) }]));
  const session = openSession(model, { threadCount: 1, device }, name);
  const { y } = session.run({ x: floatTensor(Float32Array.from(values), shape) });
  session.dispose();
  return y!.data as Float32Array;
}

/** Relative error of a product of values that TF32 rounds to 1: 5e-4 there, below 1e-6 in float32. */
function productError(): number {
  const [size, value] = [64, 1 + 2 ** -12];
  const [first] = run('a product', [size, size], Array(size * size).fill(value), (g, x) => matMul(g, x, x));
  return Math.abs(first! / (size * value ** 2) - 1);
}

/** Of largest values, for which the CUDA provider needs cuDNN. Ours need none; packages of others may. */
function largestError(): number {
  const largest = run('largest values', [4, 3], [...Array(12).keys()], (g, x) =>
    reduce(g, 'ReduceMax', x, { axes: [1], keepDims: false }),
  );
  return Math.max(...largest.map((value, row) => Math.abs(value - (3 * row + 2))));
}

/** Says a number, or why there is none. */
function tell(name: string, of: () => number): void {
  let value: number | string;
  try {
    value = of();
  } catch (error) {
    value = (error as Error).message;
  }
  console.log(JSON.stringify({ [name]: value }));
}
