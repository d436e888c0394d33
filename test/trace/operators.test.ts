/**
 * Every kernel of the registry on random shapes with fixed seeds: traced equals eager (TensorFlow too, where installed) in value, gradient and
 * Hessian-vector product, and both orders meet central finite differences, accumulated in float64.
 */

import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { gradients } from '../../src/trace/gradients/index.ts';
import { kernels } from '../../src/trace/kernels/index.ts';
import { type TracedFunction, trace } from '../../src/trace/trace.ts';
import { createEngine } from '../../trainer/engine/choose.ts';
import { hasTensorflow } from '../requirements.ts';
import { operatorCases, type Shape } from './operator-cases.ts';
import { derivatives } from './operator-graphs.ts';

/** Where the functions run eagerly; the first is there always. */
const backends = ['cpu', ...(hasTensorflow ? ['tensorflow'] : [])];

beforeAll(async () => {
  if (hasTensorflow) await createEngine('tensorflow', { threadCount: 1 });
  await tf.setBackend('cpu');
});

const trialCount = 4;
/** Step of the finite differences: truncation grows with its square, float32 rounding with its inverse. */
const step = 2 ** -7;

type Values = Record<string, Float32Array>;

function eagerly(backend: string, fn: TracedFunction, shapes: Record<string, Shape>, data: Values): Values {
  void tf.setBackend(backend);
  const values = tf.tidy(() => {
    const tensors = Object.fromEntries(
      Object.entries(data).map(([name, values]) => [name, tf.tensor(values, shapes[name]!)]),
    );
    const results = Object.entries(fn(tensors)).map(([name, tensor]) => [name, tensor.dataSync().slice()]);
    return Object.fromEntries(results) as unknown as tf.TensorContainer;
  }) as unknown as Values;
  void tf.setBackend('cpu');
  return values;
}

/** Largest difference, on the scale of the expected values. */
function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  const scale = 1 + Math.max(0, ...Array.from(expected, Math.abs));
  return Math.max(0, ...Array.from(expected, (value, i) => Math.abs(actual[i]! - value))) / scale;
}

/** L of `derivatives` in float64. */
const lossOf = (y: Float32Array, c: Float32Array, x: readonly Float32Array[]): number =>
  dot(
    Array.from(y, (value) => value + value ** 2 / 2),
    c,
  ) + x.reduce((sum, values) => sum + dot(values, values) / 2, 0);

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);

function trial(name: string, seed: number): void {
  const { shapes: draw, f: build, domain = (x) => x, check = 'gradients' } = operatorCases[name]!;
  const random = createRandom(seed);
  const drawn = draw(random);
  const names = drawn.map((_, i) => `x${i}`);
  const normals = (shape: Shape) => Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => random.normal());
  const f = build(drawn, random);
  const shapes: Record<string, Shape> = Object.fromEntries(names.map((input, i) => [input, drawn[i]!]));
  const data: Values = Object.fromEntries(names.map((input) => [input, normals(shapes[input]!).map(domain)]));
  const resultShape = tf.tidy(() => f(...names.map((input) => tf.tensor(data[input]!, shapes[input]!))).shape);
  if (check === 'gradients') {
    Object.assign(shapes, { c: resultShape }, Object.fromEntries(names.map((input) => [`v.${input}`, shapes[input]!])));
    for (const extra of ['c', ...names.map((input) => `v.${input}`)]) data[extra] = normals(shapes[extra]!);
  }
  const fn: TracedFunction =
    check === 'gradients' ? derivatives(f, names) : (x) => ({ value: f(...names.map((input) => x[input]!)) });
  const session = compile(
    trace(name, Object.fromEntries(Object.entries(shapes).map(([input, shape]) => [input, { shape }])), fn),
    { threadCount: 1 },
  );
  const run = (values: Values): Values => {
    const feeds = Object.fromEntries(
      session.inputs.map((input) => [input.name, floatTensor(values[input.name]!, shapes[input.name]!)]),
    );
    return Object.fromEntries(
      Object.entries(session.run(feeds)).map(([output, { data }]) => [output, data as Float32Array]),
    );
  };
  const label = `${name}, seed ${seed}, ${drawn.map((shape) => `[${shape}]`).join(' ')}`;
  const traced = run(data);
  for (const backend of backends) {
    for (const [output, values] of Object.entries(eagerly(backend, fn, shapes, data))) {
      expect(traced[output]!.length, label).toBe(values.length);
      expect(distance(traced[output]!, values), `${label}: traced against ${backend} ${output}`).toBeLessThan(3e-5);
    }
  }
  if (check === 'gradients') {
    for (const input of names) compareWithDifferences(input, { data, names, run, traced, label });
  }
  session.dispose();
}

function compareWithDifferences(
  input: string,
  {
    data,
    names,
    run,
    traced,
    label,
  }: { data: Values; names: string[]; run(values: Values): Values; traced: Values; label: string },
): void {
  const shifted = (index: number, by: number) => {
    const moved = data[input]!.slice();
    moved[index]! += by;
    return { ...data, [input]: moved };
  };
  const slopes = Array.from(data[input]!, (_, i) => {
    const [right, left] = [shifted(i, step), shifted(i, -step)];
    const [above, below] = [run(right), run(left)];
    // The step as it was taken, after rounding.
    const width = right[input]![i]! - left[input]![i]!;
    const inputs = (values: Values) => names.map((other) => values[other]!);
    const along = (values: Values) =>
      names.reduce((sum, other) => sum + dot(values[`d.${other}`]!, data[`v.${other}`]!), 0);
    return {
      first: (lossOf(above.value!, data.c!, inputs(right)) - lossOf(below.value!, data.c!, inputs(left))) / width,
      second: (along(above) - along(below)) / width,
    };
  });
  const first = slopes.map((slope) => slope.first);
  const second = slopes.map((slope) => slope.second);
  expect(distance(traced[`d.${input}`]!, first), `${label}: gradient of ${input} against differences`).toBeLessThan(
    2e-3,
  );
  expect(
    distance(traced[`h.${input}`]!, second),
    `${label}: second order of ${input} against differences`,
  ).toBeLessThan(5e-3);
}

describe('every kernel of the registry', () => {
  test('has a case', () => {
    expect(Object.keys(operatorCases).sort()).toEqual(Object.keys(kernels).sort());
  });

  test('that changes with its inputs has a gradient rule', () => {
    const constants = ['Fill', 'Range'];
    expect(Object.keys(kernels).filter((name) => !(name in gradients))).toEqual(constants);
  });

  for (const name of Object.keys(operatorCases)) {
    test(`${name} is called by its case`, async () => {
      const { shapes: draw, f: build } = operatorCases[name]!;
      const random = createRandom(1);
      const shapes = draw(random);
      const f = build(shapes, random);
      const { kernelNames } = await tf.profile(() => f(...shapes.map((shape) => tf.ones(shape))));
      expect(kernelNames).toContain(name);
    });

    test(`${name}: traced equals eager${operatorCases[name]!.check === 'values' ? '' : ', and both orders meet finite differences'}`, () => {
      for (let seed = 1; seed <= trialCount; seed++) trial(name, seed);
    });
  }
});

describe('rules that are zero', () => {
  test('are those of truth values, indices and steps', () => {
    expect(
      Object.keys(gradients)
        .filter((name) => gradients[name]!.isZero === true)
        .sort(),
    ).toEqual(
      (
        'All Any ArgMax ArgMin Ceil Equal Floor FloorDiv Greater GreaterEqual IsFinite IsInf IsNan Less LessEqual LogicalAnd ' +
        'LogicalNot LogicalOr NotEqual OneHot OnesLike Round Sign Step ZerosLike'
      ).split(' '),
    );
  });
});
