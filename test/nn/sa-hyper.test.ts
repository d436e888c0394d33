/** The SA-Hyper critic at paper size against the reference PyTorch network's figures, and against eager tfjs at a small size. */

import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { createCritic, criticNames } from '../../src/nn/critics/registry.ts';
import { parameterCount } from '../../src/nn/parameters.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { trace } from '../../src/trace/trace.ts';
import { fromReference, type ReferenceParameter, sine, toReference } from './reference.ts';

type Golden = {
  params: ReferenceParameter[];
  q: number[];
  dq_da: number[];
  mse_loss: number;
  grads: { l2: number; first: number[] }[];
};

const golden = JSON.parse(readFileSync(new URL('../golden/sa-hyper-critic.json', import.meta.url), 'utf8')) as Golden;

const relative = (actual: number, expected: number, scale = Math.abs(expected)) => Math.abs(actual - expected) / scale;

describe('sa-hyper', () => {
  const member = createCritic(
    { architecture: 'sa-hyper' },
    { observationSize: 17, actionSize: 6, ensembleSize: 1 },
  ).member;

  test('meets the reference: outputs, dQ/da, loss and every parameter gradient', () => {
    const shapes = Object.fromEntries(Object.entries(member.specs).map(([name, { shape }]) => [name, shape]));
    const graph = trace(
      'sa-hyper',
      {
        ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape }])),
        observation: { shape: [5, 17] },
        action: { shape: [5, 6] },
        target: { shape: [5] },
      },
      ({ observation, action, target, ...parameters }) => {
        const q = (a: tf.Tensor) => member.q(parameters, observation as tf.Tensor2D, a as tf.Tensor2D);
        const { value, gradients } = valueAndGradients(
          (variables) =>
            tf.mean(tf.square(tf.sub(member.q(variables, observation as tf.Tensor2D, action as tf.Tensor2D), target!))),
          parameters,
        );
        const outputs = Object.fromEntries(
          Object.entries(gradients).map(([name, gradient]) => [`d.${name}`, gradient]),
        );
        return { q: q(action!), dq_da: tf.grad((a: tf.Tensor) => tf.sum(q(a)))(action!), loss: value, ...outputs };
      },
    );
    const session = compile(graph, { threadCount: 2 });
    const parameters = fromReference(golden.params, {
      baseSize: 6,
      outputSize: 1,
      hiddenSize: 256,
      headLayout: 'out-in',
    });
    const feeds = Object.fromEntries(
      Object.entries(parameters).map(([name, data]) => [name, floatTensor(data, shapes[name]!)]),
    );
    const action = sine(30, 0.7).map((x) => 0.9 * x);
    const result = session.run({
      ...feeds,
      observation: floatTensor(sine(85, 0.1), [5, 17]),
      action: floatTensor(action, [5, 6]),
      target: floatTensor(sine(5, 0.3), [5]),
    });
    const values = (name: string) => result[name]!.data as Float32Array;
    golden.q.forEach((q, i) => {
      expect(relative(values('q')[i]!, q)).toBeLessThan(1e-4);
    });
    const scale = Math.max(...golden.dq_da.map(Math.abs));
    golden.dq_da.forEach((gradient, i) => {
      expect(relative(values('dq_da')[i]!, gradient, scale)).toBeLessThan(1e-4);
    });
    expect(relative(values('loss')[0]!, golden.mse_loss)).toBeLessThan(1e-4);
    const gradients = Object.fromEntries(Object.keys(shapes).map((name) => [name, values(`d.${name}`)]));
    const ours = toReference(golden.params, gradients, {
      baseSize: 6,
      outputSize: 1,
      hiddenSize: 256,
      headLayout: 'out-in',
    });
    golden.grads.forEach(({ l2, first }, k) => {
      const name = golden.params[k]!.name;
      expect(relative(Math.hypot(...norms(ours[k]!)), l2), `${name} norm`).toBeLessThan(1e-4);
      // Single elements are compared on the scale of their tensor's typical element.
      const typical = l2 / Math.sqrt(ours[k]!.length);
      first.forEach((value, i) => {
        expect(relative(ours[k]![i]!, value, Math.max(typical, Math.abs(value))), `${name}[${i}]`).toBeLessThan(1e-4);
      });
    });
    session.dispose();
  });

  // 17 -> 256, two blocks of two 256 x 256 layers, and so on, plus heads of 1024 inputs.
  test.each([
    [11, 3, 7.75],
    [17, 6, 8.54],
    [111, 8, 9.09],
  ])(
    'has the parameter count of the paper with %i observations and %i actions',
    (observationSize, actionSize, millions) => {
      const critic = createCritic({ architecture: 'sa-hyper' }, { observationSize, actionSize, ensembleSize: 1 });
      const lin = (i: number, o: number) => i * o + o;
      const trunk =
        lin(observationSize, 256) +
        4 * lin(256, 256) +
        lin(256, 512) +
        4 * lin(512, 512) +
        lin(512, 1024) +
        4 * lin(1024, 1024);
      const heads = lin(1024, actionSize * 256) + 2 * lin(1024, 256) + lin(1024, 256) + 2 * lin(1024, 1);
      expect(parameterCount(critic.specs)).toBe(trunk + heads);
      expect(Math.abs(parameterCount(critic.specs) / 1e6 - millions)).toBeLessThan(0.01);
    },
  );

  test('an unknown architecture is refused with the known ones', () => {
    expect(() => createCritic({ architecture: 'sa' }, { observationSize: 1, actionSize: 1, ensembleSize: 2 })).toThrow(
      `critic: expected one of ${criticNames.join(', ')}, got "sa"`,
    );
  });
});

/** Norms of chunks: `Math.hypot` of a million arguments overflows the stack. */
function norms(values: Float32Array): number[] {
  const sums: number[] = [];
  for (let start = 0; start < values.length; start += 1000)
    sums.push(Math.hypot(...values.subarray(start, start + 1000)));
  return sums.length > 1000 ? norms(Float32Array.from(sums)) : sums;
}
