/** Traces with a symbolic size give, at every size, what eager gives; what would freeze the sentinel is refused. */

import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { trace } from '../../src/trace/trace.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

type F = (x: tf.Tensor) => tf.Tensor;

const specs = { x: { shape: ['B', 3] } };

/** Runs `f` traced once at a symbolic size and eagerly at each of `rows`. */
function expectEqual(f: F, rows: readonly number[]): void {
  const session = compile(
    trace('symbolic', specs, ({ x }) => ({ y: f(x!) })),
    { threadCount: 1 },
  );
  for (const count of rows) {
    const data = new Float32Array(count * 3);
    createRandom(count).fillNormal(data);
    const expected = tf.tidy(() => f(tf.tensor2d(data, [count, 3])));
    const actual = session.run({ x: floatTensor(data, [count, 3]) }).y!;
    expect([...actual.dims]).toEqual(expected.shape);
    const differences = Array.from(expected.dataSync(), (value, i) => Math.abs(Number(actual.data[i]) - value));
    const largest = differences.reduce((max, difference) => Math.max(max, difference), 0);
    expect(largest, `${count} rows`).toBeLessThan(1e-5);
    expected.dispose();
  }
  session.dispose();
}

const grad = (f: F): F => tf.grad(f as (x: tf.Tensor) => tf.Scalar);

/** The last is above the sentinel. */
const rows = [1, 4, 20011];

describe('one trace at every size', () => {
  const functions: Record<string, F> = {
    'gradient of a mean over everything': grad((x) => tf.mean(tf.square(x))),
    'gradient of a mean over rows': grad((x) => tf.sum(tf.square(tf.mean(x, 0)))),
    'gradient of a mean over columns': grad((x) => tf.sum(tf.square(tf.mean(x, 1)))),
    'second gradient of a mean': grad((x) => tf.sum(tf.square(grad((v) => tf.mean(tf.pow(v, 3)))(x)))),
    'gradient of a variance': grad((x) => tf.sum(tf.moments(x, 0).variance)),
    'columns by strides': (x) => tf.stridedSlice(x, [0, 0], [0, 3], [1, 2], 1, 1),
    'columns in reverse': (x) => tf.reverse(x, [1]),
    'rows in reverse': (x) => tf.reverse(x, [0]),
    'gradient of columns in reverse': grad((x) => tf.sum(tf.mul(x, tf.reverse(x, [1])))),
    'gradient of columns by strides': grad((x) => tf.sum(tf.square(tf.stridedSlice(x, [0, 0], [0, 3], [1, 2], 1, 1)))),
    "each row's largest column": (x) => tf.gather(x, tf.expandDims(tf.argMax(x, 1), 1), 1, 1),
    'rows twice': (x) => tf.concat([x, tf.square(x)], 0),
  };
  for (const [name, f] of Object.entries(functions)) test(name, () => expectEqual(f, rows));

  test("gradient of each row's largest column", () => {
    const largest: F = (x) => tf.gather(x, tf.expandDims(tf.argMax(x, 1), 1), 1, 1);
    // tfjs's own sums over segments take time that is quadratic in the rows.
    expectEqual(
      grad((x) => tf.sum(tf.square(largest(x)))),
      [1, 4, 50],
    );
  });

  test('a mean over a fixed size has a constant count', () => {
    const { nodes } = trace('fixed', { x: { shape: [4, 3] } }, ({ x }) => ({ dx: grad((v) => tf.mean(v, 0))(x!) }));
    expect(nodes.map(({ op }) => op)).not.toContain('ReduceSum');
  });
});

describe('a frozen size is refused', () => {
  const refused: Record<string, [F, string]> = {
    'the size as a divisor': [
      (x) => tf.div(x, x.shape[0]!),
      'trace: expected no number made of a symbolic size, got 10007 (B). Count at run time',
    ],
    'a multiple of it': [(x) => tf.div(x, x.size), 'got 30021 (B)'],
    'one over it': [(x) => tf.mul(x, 1 / x.shape[0]!), 'expected no number made of a symbolic size, got'],
    'its negative, filled': [(x) => tf.fill([2], -x.shape[0]!), 'got -10007 (B)'],
    'a range of it': [(x) => tf.range(0, x.shape[0]!), 'where 10007 is symbolic. Pass it as an input'],
    'classes of it': [(x) => tf.oneHot(tf.tensor1d([0], 'int32'), x.shape[0]!), 'where 10007 is symbolic'],
    'numbers of its size': [
      (x) => tf.tensor1d(Array.from({ length: x.shape[0]! }, (_, i) => i)),
      'where 10007 is symbolic',
    ],
    'some rows': [(x) => tf.slice(x, [0, 0], [2, 3]), 'Slice: expected to cut or extend only dimensions of a fixed'],
    'every second row': [(x) => tf.stridedSlice(x, [0, 0], [x.shape[0]!, 3], [2, 1]), 'got a symbolic one (10007)'],
    'all but the last row': [(x) => tf.stridedSlice(x, [0, 0], [-1, 3], [1, 1]), 'got a symbolic one (10007)'],
    'a row more': [(x) => tf.concat([x, tf.ones([1, 3])], 0), 'Concat: expected to cut or extend only dimensions'],
  };
  for (const [name, [f, message]] of Object.entries(refused)) {
    test(name, () => {
      expect(() => trace('refused', specs, ({ x }) => ({ y: f(x!) }))).toThrow(message);
    });
  }

  test('numbers that only look like one are not', () => {
    const numbers = [1e-8, 1e-5, 1e-7, 1e9, 10006, 10008, 1 / 3];
    expect(() =>
      trace('allowed', specs, ({ x }) => ({ y: numbers.reduce<tf.Tensor>((y, number) => tf.add(y, number), x!) })),
    ).not.toThrow();
  });
});
