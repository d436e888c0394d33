import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { latentKl, sampleLatent } from '../../src/nn/encoders/encoder.ts';
import { createEncoder, encoderNames } from '../../src/nn/encoders/registry.ts';
import { gru } from '../../src/nn/gru.ts';
import { drawParameters, parameterCount, shapesOf } from '../../src/nn/parameters.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { encoderOutputs, gaussianOf, noKnowledge, withTransitions } from '../../src/posterior/latent-knowledge.ts';
import { trace } from '../../src/trace/trace.ts';

beforeAll(() => tf.setBackend('cpu'));

const sizes = { transitionSize: 7, latentSize: 3 };
const values = (tensor: tf.Tensor) => [...tensor.dataSync()];
const lin = (i: number, o: number) => i * o + o;

function setUp(architecture: string) {
  const encoder = createEncoder({ architecture, hiddenSizes: [16, 12] }, sizes);
  const views = drawParameters(encoder.specs, createRandom(4));
  const shapes = shapesOf(encoder.specs);
  const parameters = Object.fromEntries(
    Object.entries(views).map(([name, data]) => [name, tf.tensor(data, [...shapes[name]!])]),
  );
  const data = new Float32Array(2 * 5 * 7);
  createRandom(5).fillNormal(data);
  return { encoder, views, shapes, parameters, data };
}

describe.each(encoderNames)('%s', (architecture) => {
  test('traced equals eager', () => {
    const { encoder, views, shapes, parameters, data } = setUp(architecture);
    const inputs = Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape }]));
    const graph = trace('encoder', { ...inputs, transitions: { shape: [2, 5, 7] } }, ({ transitions, ...rest }) =>
      encoder.posterior(rest, transitions as tf.Tensor3D),
    );
    const session = compile(graph, { threadCount: 1 });
    const feeds = Object.fromEntries(
      Object.entries(views).map(([name, view]) => [name, floatTensor(view, shapes[name]!)]),
    );
    const traced = session.run({ ...feeds, transitions: floatTensor(data, [2, 5, 7]) });
    const eager = encoder.posterior(parameters, tf.tensor3d(data, [2, 5, 7]));
    for (const part of ['mean', 'variance'] as const) {
      expect(eager[part].shape).toEqual([2, 3]);
      values(eager[part]).forEach((value, i) => {
        expect((traced[part]!.data as Float32Array)[i]).toBeCloseTo(value, 5);
      });
    }
    session.dispose();
  });
});

test('the product of Gaussians does not see the order of transitions; the recurrent encoder does', () => {
  const changes = encoderNames.map((architecture) => {
    const { encoder, parameters, data } = setUp(architecture);
    const x = tf.tensor3d(data, [2, 5, 7]);
    const [forward, backward] = [x, tf.reverse(x, 1)].map((input) => values(encoder.posterior(parameters, input).mean));
    return Math.max(...forward!.map((value, i) => Math.abs(value - backward![i]!)));
  });
  expect(changes[0]).toBeLessThan(1e-5);
  expect(changes[1]).toBeGreaterThan(1e-3);
});

test('more transitions narrow the product', () => {
  const { encoder, parameters, data } = setUp('pearl-encoder');
  const x = tf.tensor3d(data, [2, 5, 7]);
  const few = values(encoder.posterior(parameters, tf.slice(x, [0, 0, 0], [2, 2, 7])).variance);
  const all = values(encoder.posterior(parameters, x).variance);
  all.forEach((variance, i) => {
    expect(variance).toBeLessThan(few[i]!);
  });
});

test('the mean of outputs sees neither the order nor the number of equal transitions', () => {
  const { parameters, data } = setUp('pearl-encoder');
  const encoder = createEncoder({ architecture: 'pearl-encoder', hiddenSizes: [16, 12], aggregation: 'mean' }, sizes);
  expect(encoder.steps.aggregation).toBe('mean');
  const x = tf.tensor3d(data, [2, 5, 7]);
  const parts = (input: tf.Tensor) => {
    const { mean, variance } = encoder.posterior(parameters, input as tf.Tensor3D);
    return [...values(mean), ...values(variance)];
  };
  const expected = parts(x);
  for (const same of [tf.reverse(x, 1), tf.concat([x, x], 1)]) {
    parts(same).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 5);
    });
  }
  // One transition alone has the mean that its factor has.
  const one = tf.slice(x, [0, 0, 0], [2, 1, 7]);
  const factor = createEncoder({ architecture: 'pearl-encoder', hiddenSizes: [16, 12] }, sizes);
  values(factor.posterior(parameters, one).mean).forEach((value, i) => {
    expect(parts(one)[i]).toBeCloseTo(value, 5);
  });
});

test.each([
  ['pearl-encoder', undefined],
  ['pearl-encoder', 'mean'],
  ['pearl-gru-encoder', undefined],
] as const)(
  '%s, %s: transitions one after the other make the posterior of all at once',
  (architecture, aggregation) => {
    const { data } = setUp('pearl-encoder');
    const encoder = createEncoder({ architecture, hiddenSizes: [16, 12], aggregation }, sizes);
    const views = drawParameters(encoder.specs, createRandom(4));
    const parameters = Object.fromEntries(
      Object.entries(views).map(([name, view]) => [name, tf.tensor(view, [...encoder.specs[name]!.shape])]),
    );
    const x = tf.tensor3d(data.slice(0, 5 * 7), [1, 5, 7]);
    const { steps } = encoder;
    let known = noKnowledge(6 + steps.memorySize);
    for (let n = 0; n < 5; n++) {
      const memory = tf.tensor2d(Float32Array.from(known.values.subarray(6)), [1, steps.memorySize]);
      const outputs = steps.outputs(
        parameters,
        tf.reshape(tf.slice(x, [0, n, 0], [1, 1, 7]), [1, 7]) as tf.Tensor2D,
        memory,
      );
      const parts = encoderOutputs[steps.aggregation].map((name) => Float32Array.from(outputs[name]!.dataSync()));
      known = withTransitions(steps.aggregation, known, parts, 1);
    }
    const { mean, variance } = gaussianOf(steps.aggregation, known, { size: 3, prior: 'start' });
    const whole = encoder.posterior(parameters, x);
    for (const [actual, expected] of [
      [mean, whole.mean],
      [variance, whole.variance],
    ] as const) {
      values(expected).forEach((value, i) => {
        expect(actual[i]).toBeCloseTo(value, 5);
      });
    }
  },
);

test('an aggregation that an encoder does not take is refused', () => {
  expect(() => createEncoder({ architecture: 'pearl-gru-encoder', aggregation: 'mean' }, sizes)).toThrow(
    'encoder pearl-gru-encoder: expected the aggregation recurrent, got "mean"',
  );
});

test('the paper sizes have the parameters of the closed form', () => {
  const product = createEncoder({ architecture: 'pearl-encoder' }, { transitionSize: 27, latentSize: 5 });
  expect(parameterCount(product.specs)).toBe(lin(27, 200) + 2 * lin(200, 200) + lin(200, 10));
  const recurrent = createEncoder({ architecture: 'pearl-gru-encoder' }, { transitionSize: 27, latentSize: 5 });
  expect(parameterCount(recurrent.specs)).toBe(lin(27, 200) + 2 * lin(200, 200) + 2 * lin(200, 600) + lin(200, 10));
});

test('the GRU takes two steps as computed by hand', () => {
  // One input, one unit; weights [reset, update, candidate] of the input (1, -1, 0.5) and the state (0.5, 1, 2), biases 0.1.
  const parameters = {
    'input.weight': tf.tensor2d([[1, -1, 0.5]]),
    'input.bias': tf.tensor1d([0.1, 0.1, 0.1]),
    'state.weight': tf.tensor2d([[0.5, 1, 2]]),
    'state.bias': tf.tensor1d([0, 0, 0.1]),
  };
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  let h = 0;
  for (const x of [0.7, -0.2]) {
    const r = sigmoid(x + 0.1 + 0.5 * h);
    const z = sigmoid(-x + 0.1 + h);
    const n = Math.tanh(0.5 * x + 0.1 + r * (2 * h + 0.1));
    h = (1 - z) * n + z * h;
  }
  expect(values(gru(parameters, tf.tensor3d([[[0.7], [-0.2]]])))[0]).toBeCloseTo(h, 6);
});

test('z is drawn with the noise, and its divergence from the prior is that of the formula', () => {
  const posterior = { mean: tf.tensor2d([[1, 0]]), variance: tf.tensor2d([[4, 1]]) };
  expect(values(sampleLatent(posterior, tf.tensor2d([[0.5, -1]])))).toEqual([2, -1]);
  // (4 + 1 - 1 - log 4)/2 + 0.
  expect(values(latentKl(posterior))[0]).toBeCloseTo((4 - Math.log(4)) / 2, 6);
});

test('transitions of another size are refused with both shapes', () => {
  const { encoder, parameters } = setUp('pearl-encoder');
  expect(() => encoder.posterior(parameters, tf.zeros([2, 5, 6]))).toThrow(
    'encoder pearl-encoder: expected transitions [N, T, 7], got [2, 5, 6]',
  );
});

test.each(['lstm', 'constructor'])('an unknown encoder (%s) is refused with the known ones', (architecture) => {
  expect(() => createEncoder({ architecture }, sizes)).toThrow(
    `encoder: expected one of pearl-encoder, pearl-gru-encoder, got "${architecture}"`,
  );
});

test('an unknown aggregation is refused with the known ones', () => {
  const aggregation = 'constructor' as 'mean';
  expect(() => createEncoder({ architecture: 'pearl-encoder', aggregation }, sizes)).toThrow(
    'encoder pearl-encoder: expected the aggregation product or mean, got "constructor"',
  );
});
