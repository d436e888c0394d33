/** Kernels at their edges: integers, truth values, NaN, small numbers, ids that are no row. Traced equals eager. */

import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { trace } from '../../src/trace/trace.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

type F = (x: tf.Tensor) => tf.Tensor;
type Result = { dims: number[]; values: number[] };

/** Extremes are equal but for the sign of a zero. */
const positiveZero = (value: number) => Number(value) + 0;

const specs = (values: readonly number[]) => ({ x: { shape: [values.length] } });

function traced(f: F, values: readonly number[]): Result {
  const session = compile(
    trace('kernel', specs(values), ({ x }) => ({ y: f(x!) })),
    { threadCount: 1 },
  );
  const { dims, data } = session.run({ x: floatTensor(Float32Array.from(values), [values.length]) }).y!;
  const result = { dims: [...dims], values: Array.from(data as Float32Array, positiveZero) };
  session.dispose();
  return result;
}

function eager(f: F, values: readonly number[]): Result {
  const y = tf.tidy(() => f(tf.tensor1d(Float32Array.from(values))));
  const result = { dims: y.shape, values: Array.from(y.dataSync(), positiveZero) };
  y.dispose();
  return result;
}

const integers = (x: tf.Tensor) => tf.cast(x, 'int32');
const truths = (x: tf.Tensor) => tf.cast(x, 'bool');
const square = (x: tf.Tensor) => tf.reshape(x, [2, 2]);

describe('traced is eager exactly', () => {
  const cases: Record<string, [F, number[]]> = {
    'the mean of integers': [(x) => tf.mean(integers(x)), [0, 1, 1, 0]],
    'a step of NaN': [(x) => tf.step(x, 0.5), [Number.NaN, -1, 0, 2]],
    'a step of integers': [(x) => tf.cast(tf.step(integers(x)), 'float32'), [-1, 0, 2]],
    'the floor of a quotient of floats': [(x) => tf.floorDiv(x, tf.scalar(2)), [-3, 3, 5.5, 4]],
    'everything reversed': [(x) => tf.reverse(square(x)), [1, 2, 3, 4]],
    'the last axis reversed': [(x) => tf.reverse(square(x), -1), [1, 2, 3, 4]],
    'no axis reversed': [(x) => tf.reverse(square(x), []), [1, 2, 3, 4]],
    'the gradient of everything reversed': [
      (x) => tf.grad((v) => tf.sum(tf.mul(x, tf.reshape(tf.reverse(square(v)), [4]))))(x),
      [1, 2, 3, 4],
    ],
    'segments with ids that are no row': [
      (x) => tf.unsortedSegmentSum(x, tf.tensor1d([1, -1, 1, 0], 'int32'), 2),
      [1, 2, 3, 4],
    ],
    'segments with computed ids': [
      (x) => tf.unsortedSegmentSum(square(x), integers(tf.slice(tf.sub(x, 2) as tf.Tensor1D, 0, 2)) as tf.Tensor1D, 2),
      [1, 2, 3, 4],
    ],
    'their gradient': [
      (x) => {
        const ids = tf.tensor1d([1, -1, 1, 0], 'int32');
        return tf.grad((v) => tf.sum(tf.square(tf.unsortedSegmentSum(v as tf.Tensor1D, ids, 2))))(x);
      },
      [1, 2, 3, 4],
    ],
    'a maximum of NaN, elementwise': [(x) => tf.maximum(x, 1), [Number.NaN, 0, 2]],
  };
  for (const [name, [f, values]] of Object.entries(cases)) {
    test(name, () => expect(traced(f, values)).toEqual(eager(f, values)));
  }

  test('the floor of a quotient is int32', () => {
    expect(tf.floorDiv(tf.scalar(3), tf.scalar(2)).dtype).toBe('int32');
    const { outputs } = trace('kernel', specs([1]), ({ x }) => ({ y: tf.floorDiv(x!, tf.scalar(2)) }));
    expect(outputs[0]!.value.dtype).toBe('int32');
  });
});

describe('numbers near zero keep their digits', () => {
  const values = [0, 1e-20, 1e-7, -1e-7, 1e-3, -1e-3, 0.3, -0.3, 0.5, -0.5, 0.7, -0.9, 3, 60];
  test.each([
    ['expm1', tf.expm1, Math.expm1],
    ['log1p', tf.log1p, Math.log1p],
  ] as const)('%s', (_name, f, exact) => {
    traced(f, values).values.forEach((value, i) => {
      const expected = exact(Math.fround(values[i]!));
      expect(Math.abs(value - expected), `${values[i]}`).toBeLessThanOrEqual(1e-6 * Math.abs(expected));
    });
  });

  test('and the ends of the range are right', () => {
    expect(traced(tf.expm1, [Number.NEGATIVE_INFINITY, -200, Number.POSITIVE_INFINITY, Number.NaN]).values).toEqual([
      -1,
      -1,
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ]);
    expect(traced(tf.log1p, [-1, -2, Number.POSITIVE_INFINITY, Number.NaN]).values).toEqual([
      Number.NEGATIVE_INFINITY,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      Number.NaN,
    ]);
  });
});

describe('an extreme over an axis that holds a NaN is NaN', () => {
  const extremes: Record<string, F> = {
    'max over all': (x) => tf.max(x),
    'min over all': (x) => tf.min(x),
    'max over columns': (x) => tf.max(tf.reshape(x, [-1, 2]), 1),
    'min over columns': (x) => tf.min(tf.reshape(x, [-1, 2]), 1, true),
    'min over rows': (x) => tf.min(tf.reshape(x, [2, -1]), 0),
  };
  const [none, infinite] = [Number.NaN, Number.POSITIVE_INFINITY];
  const draws = [
    [none, 2, 1, 3],
    [2, none, 1, 3],
    [1, 2, 3, none],
    [infinite, -infinite, 1, none],
    [infinite, -infinite, 3e38, 3e38],
    [-3, -2, -5, -4],
    [3, 2, 5, 4],
    [0, 0, 0, 0],
  ];
  for (const [name, f] of Object.entries(extremes)) {
    test(name, () => {
      for (const values of draws) expect(traced(f, values), `${values}`).toEqual(eager(f, values));
    });
  }
});

describe('types that ONNX Runtime does not compute are refused', () => {
  const refused: Record<string, [F, string]> = {
    'max of bool': [(x) => tf.max(truths(x)), 'ReduceMax: expected float32 or int32 or int64, got bool. Cast it first'],
    'add of bool': [(x) => tf.add(truths(x), truths(x)), 'Add: expected float32 or int32 or int64, got bool'],
    'greater of bool': [
      (x) => tf.greater(truths(x), truths(x)),
      'Greater: expected float32 or int32 or int64, got bool',
    ],
    'exp of int32': [(x) => tf.exp(integers(x)), 'Exp: expected float32, got int32. Cast it first'],
    'product of int32': [
      (x) => tf.matMul(integers(square(x)) as tf.Tensor2D, integers(square(x)) as tf.Tensor2D),
      'MatMul: expected float32, got int32',
    ],
  };
  for (const [name, [f, message]] of Object.entries(refused)) {
    test(name, () => {
      expect(() => trace('kernel', specs([1, 2, 3, 4]), ({ x }) => ({ y: f(x!) }))).toThrow(message);
    });
  }
});
