/** The webgpu device against the cpu device. */

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { initialise, type ParameterSpecs, shapesOf } from '../../src/nn/parameters.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor, type TensorMap } from '../../src/onnx/session.ts';
import { trace } from '../../src/trace/trace.ts';
import { withWebgpu } from '../webgpu.ts';

const random = createRandom(1);
const normals = (...shape: number[]) => {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  random.fillNormal(data);
  return floatTensor(data, shape);
};

function parametersOf(specs: ParameterSpecs): TensorMap {
  const shapes = shapesOf(specs);
  const views = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]),
  );
  initialise(specs, views, createRandom(2));
  return Object.fromEntries(Object.entries(views).map(([name, data]) => [name, floatTensor(data, shapes[name]!)]));
}

withWebgpu('webgpu gives the critic and its action gradient as cpu does', { timeout: 240_000 }, () => {
  const { member } = createCritic(
    { architecture: 'sa-hyper', trunkSizes: [32], dynamicHiddenSizes: [24] },
    { observationSize: 17, actionSize: 6, ensembleSize: 1 },
  );
  const parameters = parametersOf(member.specs);
  const specs = {
    ...Object.fromEntries(Object.entries(parameters).map(([name, { dims }]) => [name, { shape: dims }])),
    observation: { shape: ['B', 17] },
    action: { shape: ['B', 6] },
  };
  const graph = trace('critic', specs, ({ observation, action, ...weights }) => {
    const q = (a: tf.Tensor) => member.q(weights, observation as tf.Tensor2D, a as tf.Tensor2D);
    return { q: q(action!), dq_da: tf.grad((a: tf.Tensor) => tf.sum(q(a)))(action!) };
  });
  const [cpu, webgpu] = (['cpu', 'webgpu'] as const).map((device) => compile(graph, { threadCount: 1, device }));
  expect(webgpu!.device).toBe('webgpu');
  for (const rows of [1, 16]) {
    const feeds: TensorMap = { ...parameters, observation: normals(rows, 17), action: normals(rows, 6) };
    const [expected, actual] = [cpu!.run(feeds), webgpu!.run(feeds)];
    for (const [name, { data }] of Object.entries(expected)) {
      const values = data as Float32Array;
      const scale = Math.max(...values.map(Math.abs));
      expect(scale, name).toBeGreaterThan(0);
      values.forEach((value, i) => {
        const difference = Math.abs((actual[name]!.data as Float32Array)[i]! - value);
        expect(difference / scale, `${name}[${i}], ${rows} rows`).toBeLessThan(1e-4);
      });
    }
  }
  cpu!.dispose();
  webgpu!.dispose();
});
