/** Traced results equal eager results on tfjs's plain `cpu` backend, for values, gradients and gradients of gradients. */

import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { createRandom } from '../../src/spec/random.ts';
import { type TracedFunction, trace } from '../../src/trace/trace.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

type Shapes = Record<string, number[]>;

function randomInputs(shapes: Shapes, seed: number): Record<string, Float32Array> {
  const random = createRandom(seed);
  return Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [
      name,
      Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal()),
    ]),
  );
}

function runTraced(fn: TracedFunction, shapes: Shapes, data: Record<string, Float32Array>) {
  const specs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape }]));
  const session = compile(trace('test', specs, fn), { threadCount: 1 });
  const feeds = Object.fromEntries(
    session.inputs.map(({ name }) => [name, floatTensor(data[name]!, shapes[name]!)] as const),
  );
  const results = session.run(feeds);
  const copies = Object.fromEntries(
    Object.entries(results).map(([name, { data, dims }]) => [
      name,
      { shape: [...dims], values: [...(data as Float32Array)] },
    ]),
  );
  session.dispose();
  return copies;
}

function runEager(fn: TracedFunction, shapes: Shapes, data: Record<string, Float32Array>) {
  return tf.tidy(() => {
    const tensors = Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [name, tf.tensor(data[name]!, shape)]),
    );
    return Object.fromEntries(
      Object.entries(fn(tensors)).map(([name, tensor]) => [
        name,
        { shape: tensor.shape, values: [...tensor.dataSync()] },
      ]),
    ) as unknown as tf.TensorContainer;
  }) as unknown as ReturnType<typeof runTraced>;
}

function expectEqual(fn: TracedFunction, shapes: Shapes, seed = 1): void {
  const data = randomInputs(shapes, seed);
  const traced = runTraced(fn, shapes, data);
  const eager = runEager(fn, shapes, data);
  expect(Object.keys(traced)).toEqual(Object.keys(eager));
  for (const [name, { shape, values }] of Object.entries(eager)) {
    expect(traced[name]!.shape, name).toEqual(shape);
    values.forEach((value, i) => {
      expect(Math.abs(traced[name]!.values[i]! - value), `${name}[${i}] = ${value}`).toBeLessThan(
        2e-5 * (1 + Math.abs(value)),
      );
    });
  }
}

type F = (x: tf.Tensor) => tf.Tensor;

/** y, dy/dx of a weighted sum, and the gradient of the squared norm of that. */
const withGradients =
  (f: F): TracedFunction =>
  ({ x }) => {
    const scalar = (v: tf.Tensor) => tf.sum(tf.mul(f(v), tf.add(f(v), 0.3)));
    const gradient = tf.grad(scalar)(x!);
    const second = tf.grad((v: tf.Tensor) => tf.sum(tf.square(tf.grad(scalar)(v))))(x!);
    return { y: f(x!), gradient, second };
  };

const functions: Record<string, F> = {
  tanh: (x) => tf.tanh(x),
  relu: (x) => tf.relu(x),
  sigmoid: (x) => tf.sigmoid(x),
  softplus: (x) => tf.softplus(x),
  exp: (x) => tf.exp(x),
  log: (x) => tf.log(tf.add(tf.square(x), 0.5)),
  sqrt: (x) => tf.sqrt(tf.add(tf.square(x), 0.5)),
  rsqrt: (x) => tf.rsqrt(tf.add(tf.square(x), 0.5)),
  clip: (x) => tf.clipByValue(x, -0.7, 0.6),
  softmax: (x) => tf.softmax(x),
  logSoftmax: (x) => tf.logSoftmax(x),
  logSumExp: (x) => tf.logSumExp(x, -1),
  mean: (x) => tf.mean(x, 0),
  max: (x) => tf.max(x, 1),
  broadcastAdd: (x) => tf.add(x, tf.mean(x, 0, true)),
  broadcastMul: (x) => tf.mul(tf.sum(x, 1, true), x),
  division: (x) => tf.div(x, tf.add(tf.square(x), 1)),
  minimum: (x) => tf.minimum(x, tf.neg(tf.square(x))),
  concat: (x) => tf.concat([x, tf.square(x)], 1),
  slice: (x) => tf.slice(x, [1, 0], [2, 4]),
  split: (x) => tf.mul(tf.split(x, 2, 1)[0]!, tf.split(x, 2, 1)[1]!),
  stack: (x) => tf.stack([x, tf.tanh(x)], 1),
  gather: (x) => tf.gather(x, tf.tensor1d([2, 0, 2], 'int32')),
  tile: (x) => tf.tile(x, [2, 1]),
  transpose: (x) => tf.matMul(tf.transpose(x), x),
  matMulTransposed: (x) => tf.matMul(x, x, false, true),
  batched: (x) => {
    const cube = tf.reshape(x, [3, 2, 2]);
    return tf.matMul(cube, cube, true, false);
  },
  cumsum: (x) => tf.cumsum(x, 1),
  select: (x) => tf.where(tf.greater(x, 0), tf.square(x), tf.neg(x)),
  pow: (x) => tf.pow(tf.add(tf.square(x), 0.1), 1.5),
};

describe('traced equals eager', () => {
  for (const [name, f] of Object.entries(functions)) {
    test(`${name}: value, gradient, second gradient`, () => expectEqual(withGradients(f), { x: [3, 4] }));
  }
});

describe('symbolic batch', () => {
  const fn: TracedFunction = ({ x, w }) => {
    const q = (v: tf.Tensor) => tf.tanh(tf.matMul(v as tf.Tensor2D, w as tf.Tensor2D));
    return { y: q(x!), gradient: tf.grad((v: tf.Tensor) => tf.sum(q(v)))(x!), ones: tf.ones(x!.shape) };
  };

  test('one graph serves every batch size', () => {
    const graph = trace('symbolic', { x: { shape: ['B', 3] }, w: { shape: [3, 2] } }, fn);
    const session = compile(graph, { threadCount: 1 });
    for (const batch of [1, 2, 7, 256]) {
      const shapes = { x: [batch, 3], w: [3, 2] };
      const data = randomInputs(shapes, batch);
      const eager = runEager(fn, shapes, data);
      const run = session.run({ x: floatTensor(data.x!, shapes.x), w: floatTensor(data.w!, shapes.w) });
      for (const [name, { shape, values }] of Object.entries(eager)) {
        expect([...run[name]!.dims]).toEqual(shape);
        for (const [i, value] of values.entries()) expect(run[name]!.data[i]).toBeCloseTo(value, 5);
      }
    }
    session.dispose();
  });

  test('the model declares the symbol', () => {
    const session = compile(
      trace('symbolic', { x: { shape: ['B', 3] } }, ({ x }) => ({ y: tf.relu(x!) })),
      { threadCount: 1 },
    );
    expect(session.inputs).toEqual([{ name: 'x', dtype: 'float32', shape: ['B', 3] }]);
    expect(session.outputs).toEqual([{ name: 'y', dtype: 'float32', shape: ['B', 3] }]);
    session.dispose();
  });
});

describe('misuse', () => {
  const specs = { x: { shape: [2, 3] } };

  test('reading data names the kernel', () => {
    expect(() => trace('read', specs, ({ x }) => ({ y: tf.scalar(tf.exp(x!).dataSync()[0]!) }))).toThrow(
      'trace: expected a function that does not read tensor data, got a read after kernel "Exp"',
    );
  });

  test('an unsupported kernel is named with its shapes', () => {
    expect(() => trace('acos', specs, ({ x }) => ({ y: tf.acos(x!) }))).toThrow(
      'trace: expected a kernel of src/trace/kernels, got "Acos" with x [2,3]',
    );
  });

  test('the previous backend is back after a trace that fails', () => {
    expect(() => trace('acos', specs, ({ x }) => ({ y: tf.acos(x!) }))).toThrow();
    expect(tf.getBackend()).toBe('cpu');
    expect(tf.add(1, 2).dataSync()[0]).toBe(3);
  });

  test('tracing leaves no tensors behind', () => {
    const before = tf.memory().numTensors;
    trace('leak', specs, withGradients(functions.tanh!));
    expect(tf.memory().numTensors).toBe(before);
  });
});
