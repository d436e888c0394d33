/** Traced results equal eager results on tfjs's plain `cpu` backend, for values, gradients and gradients of gradients. */

import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
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

const logTwoPi = Math.log(2 * Math.PI);

/** What algorithms are made of, each as a function of one [3, 4] tensor. */
const compositions: Record<string, F> = {
  layerNorm: (x) => {
    const { mean, variance } = tf.moments(x, 1, true);
    return tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-5)));
  },
  gru: (x) => {
    const weights = tf.tensor2d(
      [0.1, -0.4, 0.3, 0.2, 0.5, -0.2, 0.7, 0.1, -0.3, 0.6, 0.2, -0.5, 0.4, 0.3, -0.1, 0.2],
      [4, 4],
    );
    let h: tf.Tensor = tf.zerosLike(x);
    for (let step = 0; step < 3; step++) {
      const gate = tf.sigmoid(tf.add(tf.matMul(x as tf.Tensor2D, weights), h));
      const candidate = tf.tanh(tf.add(x, tf.mul(gate, tf.matMul(h as tf.Tensor2D, weights))));
      h = tf.add(tf.mul(gate, h), tf.mul(tf.sub(1, gate), candidate));
    }
    return h;
  },
  gaussianLogProb: (x) => {
    const [mean, logStd] = tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor];
    const z = tf.div(tf.sub(0.3, mean), tf.exp(logStd));
    return tf.neg(tf.sum(tf.add(tf.mul(tf.square(z), 0.5), tf.add(logStd, logTwoPi / 2)), 1));
  },
  tanhGaussianLogProb: (x) => {
    const [mean, logStd] = tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor];
    const u = tf.add(mean, tf.mul(tf.exp(logStd), 0.4));
    // log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u))
    const correction = tf.mul(2, tf.sub(tf.sub(Math.LN2, u), tf.softplus(tf.mul(u, -2))));
    return tf.sub(tf.neg(tf.sum(logStd, 1)), tf.sum(correction, 1));
  },
  gaussianKl: (x) => {
    const [mean, logStd] = tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor];
    const variance = tf.exp(tf.mul(logStd, 2));
    return tf.sum(tf.sub(tf.mul(tf.add(variance, tf.square(mean)), 0.5), tf.add(logStd, 0.5)), 1);
  },
  productOfGaussians: (x) => {
    const [mean, raw] = tf.split(x, 2, 1) as [tf.Tensor, tf.Tensor];
    const precision = tf.reciprocal(tf.maximum(tf.softplus(raw), 1e-7));
    const variance = tf.reciprocal(tf.sum(precision, 0));
    return tf.mul(variance, tf.sum(tf.mul(mean, precision), 0));
  },
  generalisedAdvantage: (x) => {
    // Discounted sums to the end of each row: a reversed running sum of discounted values.
    const powers = tf.tensor1d([1, 0.95, 0.9025, 0.857375]);
    return tf.div(tf.cumsum(tf.mul(x, powers), 1, false, true), powers);
  },
  surrogate: (x) => {
    const ratio = tf.exp(tf.mean(x, 1));
    return tf.minimum(tf.mul(ratio, 0.7), tf.mul(tf.clipByValue(ratio, 0.8, 1.2), 0.7));
  },
};

describe('traced equals eager', () => {
  for (const [name, f] of Object.entries(compositions)) {
    test(`${name}: value, gradient, second gradient`, () => expectEqual(withGradients(f), { x: [3, 4] }));
  }

  for (const [name, f] of Object.entries(functions)) {
    test(`${name}: value, gradient, second gradient`, () => expectEqual(withGradients(f), { x: [3, 4] }));
  }
});

const slopes: Record<string, [f: F, slope: (x: number) => number]> = {
  softplus: [(x) => tf.softplus(x), (x) => 1 / (1 + Math.exp(-x))],
  sigmoid: [(x) => tf.sigmoid(x), (x) => 1 / (2 * Math.cosh(x / 2)) ** 2],
  tanh: [(x) => tf.tanh(x), (x) => 1 / Math.cosh(x) ** 2],
};

test.each(Object.entries(slopes))('the slope of %s is exact relative to itself, also far below 1', (_, [f, slope]) => {
  const x = [-40, -30, -16, -15, -12, -8, -4, -1, 0, 3, 6, 8.9, 12, 40];
  const fn: TracedFunction = (inputs) => ({ slope: tf.grad((v) => tf.sum(f(v)))(inputs.x!) });
  const { values } = runTraced(fn, { x: [x.length] }, { x: Float32Array.from(x) }).slope!;
  for (const [i, at] of x.entries()) {
    expect(Math.abs(values[i]! / slope(Math.fround(at)) - 1), `at ${at}`).toBeLessThan(1e-5);
  }
});

describe('matrix products', () => {
  // tfjs's cpu backend broadcasts one side only, so the reference is the product of operands repeated in full.
  test('batches that broadcast both ways equal products of repeated operands, gradients included', () => {
    const shapes = { a: [2, 1, 3, 4], b: [3, 4, 2] };
    const fn = (product: (x: tf.Tensor, y: tf.Tensor) => tf.Tensor): TracedFunction => {
      const loss = (x: tf.Tensor, y: tf.Tensor) => tf.sum(tf.square(tf.tanh(product(x, y))));
      return (inputs) => {
        const [x, y] = [inputs.a!, inputs.b!];
        const [dx, dy] = tf.grads(loss)([x, y]);
        return { value: product(x, y), dx: dx!, dy: dy! };
      };
    };
    const data = randomInputs(shapes, 5);
    const direct = runTraced(fn(tf.matMul), shapes, data);
    const repeated = (x: tf.Tensor, y: tf.Tensor) =>
      tf.matMul(tf.broadcastTo(x, [2, 3, 3, 4]), tf.broadcastTo(y, [2, 3, 4, 2]));
    for (const [name, { shape, values }] of Object.entries(runTraced(fn(repeated), shapes, data))) {
      expect(direct[name]!.shape, name).toEqual(shape);
      values.forEach((value, i) => {
        expect(direct[name]!.values[i], name).toBeCloseTo(value, 4);
      });
    }
  });
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

  test('an unsupported kernel is named with its shapes and where it was called', () => {
    expect(() => trace('unsupported', specs, ({ x }) => ({ y: tf.atan2(x!, 2) }))).toThrow(
      /^trace: expected a kernel of src\/trace\/kernels, got "Atan2" with a \[2,3\], b \[\], called at .*trace\.test\.ts:\d+:\d+\. /,
    );
  });

  test('an error of a kernel is located too', () => {
    expect(() =>
      trace('located', { x: { shape: ['B', 3] } }, ({ x }) => ({ y: tf.slice(x!, [0, 0], [2, 3]) })),
    ).toThrow(
      /^trace: "Slice" with x \[10007,3\], called at .*trace\.test\.ts:\d+:\d+: Slice: expected to cut or extend only dimensions/,
    );
  });

  test('an operation without a gradient rule says so, in the first and in the second order', () => {
    const message = 'got "LRN", which cannot be differentiated, once or twice';
    const normalised = (v: tf.Tensor) =>
      tf.sum(tf.localResponseNormalization(tf.reshape(v, [1, 1, 2, 3]) as tf.Tensor4D));
    const x = tf.ones([2, 3]);
    expect(() => tf.grad(normalised)(x)).toThrow(message);
    expect(() => tf.grad((v: tf.Tensor) => tf.sum(tf.grad(normalised)(v)))(x)).toThrow(message);
    x.dispose();
  });

  test('an operation with a custom gradient is refused in the second order only', () => {
    const loss = (v: tf.Tensor) => tf.sum(tf.square(tf.logSoftmax(v)));
    const x = tf.tensor2d([[0.1, 0.5, -1]]);
    tf.grad(loss)(x).dispose();
    expect(() => tf.grad((v: tf.Tensor) => tf.sum(tf.grad(loss)(v)))(x)).toThrow(
      'trace: expected operations that can be differentiated twice, got one with a custom gradient',
    );
    x.dispose();
  });

  test('the previous backend is back after a trace that fails', () => {
    expect(() => trace('unsupported', specs, ({ x }) => ({ y: tf.atan2(x!, 2) }))).toThrow();
    expect(tf.getBackend()).toBe('cpu');
    expect(tf.add(1, 2).dataSync()[0]).toBe(3);
  });

  test('an output with the name of an input is refused', () => {
    const graph = trace('shared', specs, ({ x }) => ({ x: tf.neg(x!) }));
    expect(() => compile(graph, { threadCount: 1 })).toThrow(
      'graph "shared": expected outputs with names of their own, got "x", also an input. Rename the output',
    );
  });

  test('tracing leaves no tensors behind', () => {
    const before = tf.memory().numTensors;
    trace('leak', specs, withGradients(functions.tanh!));
    expect(tf.memory().numTensors).toBe(before);
  });
});
