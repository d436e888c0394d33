import { describe, expect, test } from 'vitest';
import { adaptGraph } from '../../server/random-adaptation.ts';
import { createRandom } from '../../src/contract/random.ts';
import { floatTensor, openSession } from '../../src/onnx/session.ts';

const sizes = { observationSize: 3, actionSize: 2, contextSize: 1, hiddenSize: 5, trunkSizes: [4] };
const shapes = { w0: [3, 5], g0: [1, 5], b0: [1, 5], w1: [5, 2], g1: [1, 2], b1: [1, 2] };
type Weights = Record<keyof typeof shapes, number[]>;

const random = createRandom(12);
const draw = (count: number, scale = 1) => Array.from({ length: count }, () => Math.fround(scale * random.normal()));
const stepCount = 6;
const observation = draw(stepCount * 3);
const action = draw(stepCount * 2, 0.6).map((value) => Math.fround(Math.tanh(value)));
const coefficient = draw(stepCount, 0.1);
const weights = Object.fromEntries(
  Object.entries(shapes).map(([name, [rows, columns]]) => [name, draw(rows! * columns!, 0.5)]),
) as Weights;

/** Sum of coefficient x log N(atanh(action); mean, 0.1^2), in float64 and without the server's code. */
function objective({ w0, g0, b0, w1, g1, b1 }: Weights): number {
  let sum = 0;
  for (let n = 0; n < stepCount; n++) {
    const hidden = g0.map((gain, j) => {
      const product = [0, 1, 2].reduce((total, i) => total + observation[n * 3 + i]! * w0[i * 5 + j]!, 0);
      return Math.max(0, gain * product + b0[j]!);
    });
    for (let a = 0; a < 2; a++) {
      const mean = g1[a]! * hidden.reduce((total, h, j) => total + h * w1[j * 2 + a]!, 0) + b1[a]!;
      sum -= (coefficient[n]! * (Math.atanh(action[n * 2 + a]!) - mean) ** 2) / (2 * 0.1 ** 2);
    }
  }
  return sum;
}

describe('the random inner step', () => {
  const { bytes } = adaptGraph(sizes, { stepSize: 1 });
  const session = openSession(bytes, { threadCount: 1 });
  const outputs = session.run({
    observation: floatTensor(Float32Array.from(observation), [stepCount, 3]),
    action: floatTensor(Float32Array.from(action), [stepCount, 2]),
    coefficient: floatTensor(Float32Array.from(coefficient), [stepCount]),
    ...Object.fromEntries(
      Object.entries(shapes).map(([name, shape]) => [
        name,
        floatTensor(Float32Array.from(weights[name as keyof Weights]), [1, ...shape]),
      ]),
    ),
  });
  session.dispose();

  test.each(Object.keys(shapes) as (keyof Weights)[])('moves %s by the gradient of finite differences', (name) => {
    const moved = outputs[`adapted_${name}`]!;
    expect(moved.dims).toEqual([1, ...shapes[name]]);
    const step = 1e-5;
    const gradients = weights[name].map((_, i) => {
      const shifted = (by: number) => ({
        ...weights,
        [name]: weights[name].map((value, k) => (k === i ? value + by : value)),
      });
      return (objective(shifted(step)) - objective(shifted(-step))) / (2 * step);
    });
    gradients.forEach((gradient, i) => {
      const moveBy = (moved.data as Float32Array)[i]! - weights[name][i]!;
      expect(Math.abs(moveBy - gradient)).toBeLessThan(1e-4 * (1 + Math.abs(gradient)));
    });
    // So a gradient of zero would not pass.
    expect(Math.max(...gradients.map(Math.abs))).toBeGreaterThan(0.1);
  });
});
