/** Graphs in two parts, where some inputs stay the same: what is kept, and that the two give the bits of the whole. */

import { expect, test } from 'vitest';
import { sizeOf } from '../../src/contract/counts.ts';
import { type Builder, createBuilder, fill } from '../../src/onnx/builder.ts';
import { encode } from '../../src/onnx/encode.ts';
import type { Graph, Value } from '../../src/onnx/graph.ts';
import { cast, comparison, mul, unary } from '../../src/onnx/ops/elementwise.ts';
import { matMul } from '../../src/onnx/ops/matmul.ts';
import { removeDeadCode } from '../../src/onnx/passes/dead-code.ts';
import { floatTensor, openSession, type Tensor, type TensorMap } from '../../src/onnx/session.ts';
import { splitSteady } from '../../src/onnx/steady-part.ts';

/** More elements than a value that is always kept. */
const rowCount = 300;

/** y = ((v W) masked by ReLU(x W) > 0) s, with x [300, 100], W [100, 100], v [300, 100] and s = exp(t) [1, 100]. */
function maskedProduct(): Graph {
  const g = createBuilder();
  const x = g.input('x', 'float32', [rowCount, 100]);
  const w = g.input('w', 'float32', [100, 100]);
  const t = g.input('t', 'float32', [1, 100]);
  const v = g.input('v', 'float32', [rowCount, 100]);
  g.input('unused', 'float32', [1]);
  const hidden = unary(g, 'Relu', matMul(g, x, w));
  const mask = cast(g, comparison(g, 'Greater', hidden, fill(0, 'float32', [])), 'float32');
  const y = mul(g, mul(g, mul(g, matMul(g, v, w), mask), unary(g, 'Exp', t)), hidden);
  return g.finish('masked', [{ name: 'y', value: y }]);
}

const shapesOf = (values: Graph['inputs']) => values.map(({ name, value }) => `${name} [${value.shape}]`);

function tensors({ inputs }: Graph): TensorMap {
  const wave = (k: number, { shape }: Value) =>
    floatTensor(
      Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(1 + i + 10 * k)),
      shape,
    );
  return Object.fromEntries(inputs.map(({ name, value }, k) => [name, wave(k, value)]));
}

function run(graph: Graph, feeds: TensorMap): Record<string, Tensor> {
  const session = openSession(encode(graph), { threadCount: 1 });
  const outputs = session.run(Object.fromEntries(session.inputs.map(({ name }) => [name, feeds[name]!])));
  session.dispose();
  return outputs;
}

test('products and small values are kept, masks are computed again, and the bits are those of the whole', () => {
  const graph = maskedProduct();
  const { steady, rest } = splitSteady(graph, new Set(['x', 'w', 't']))!;
  expect(shapesOf(steady.inputs)).toEqual(['x [300,100]', 'w [100,100]', 't [1,100]']);
  expect(shapesOf(steady.outputs)).toEqual(['kept.0 [1,100]', 'kept.1 [300,100]']);
  expect(shapesOf(rest.inputs)).toEqual([...shapesOf(steady.outputs), 'w [100,100]', 'v [300,100]']);
  expect(rest.nodes.map(({ op }) => op)).toEqual(['Greater', 'Cast', 'Gemm', 'Mul', 'Mul', 'Mul']);
  const feeds = tensors(graph);
  const kept = run(steady, feeds);
  expect(run(rest, { ...feeds, ...kept }).y!.data).toEqual(run(removeDeadCode(graph), feeds).y!.data);
});

test('kept values have names that no input and no output of the graph has', () => {
  const g = createBuilder();
  const [a, b] = [g.input('kept.0', 'float32', [2]), g.input('kept.kept.1', 'float32', [2])];
  const grown = unary(g, 'Exp', a);
  const graph = g.finish('named', [{ name: 'kept.1', value: mul(g, grown, b) }]);
  const { steady, rest } = splitSteady(graph, new Set(['kept.0']))!;
  expect(shapesOf(steady.outputs)).toEqual(['kept.kept.kept.0 [2]']);
  const feeds = tensors(graph);
  expect(run(rest, { ...feeds, ...run(steady, feeds) })['kept.1']!.data).toEqual(run(graph, feeds)['kept.1']!.data);
});

test.each([
  ['no input is steady', new Set<string>()],
  ['nothing follows from the steady inputs alone', new Set(['v'])],
])('a graph stays whole if %s', (_, steady) => {
  expect(splitSteady(maskedProduct(), steady)).toBeUndefined();
});

test('an output that follows from steady inputs is kept, and given again', () => {
  const g: Builder = createBuilder();
  const [a, b] = [g.input('a', 'float32', [2]), g.input('b', 'float32', [2])];
  const graph = g.finish('outputs', [
    { name: 'sum', value: mul(g, a, b) },
    { name: 'grown', value: unary(g, 'Exp', a) },
  ]);
  const { steady, rest } = splitSteady(graph, new Set(['a']))!;
  const feeds = tensors(graph);
  expect(run(rest, { ...feeds, ...run(steady, feeds) }).grown!.data).toEqual(run(graph, feeds).grown!.data);
});
