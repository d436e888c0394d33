/** The webgpu device against the cpu device. */

import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { initialise, type ParameterSpecs, shapesOf } from '../../src/nn/parameters.ts';
import { createBuilder, dense } from '../../src/onnx/builder.ts';
import { compile } from '../../src/onnx/compile.ts';
import { encode } from '../../src/onnx/encode.ts';
import { floatTensor, openSession, type TensorMap } from '../../src/onnx/session.ts';
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

withWebgpu('a product with a bias of no dimensions, which would end the process, is refused before it runs', () => {
  const product = (biasShape: readonly number[]) => {
    const g = createBuilder(new Map([[10007, 'B']]));
    const x = g.input('x', 'float32', [10007, 2]);
    const weight = dense(Float32Array.of(1, 2), 'float32', [2, 1]);
    const bias = dense(Float32Array.of(0.5), 'float32', biasShape);
    const y = g.emit('Gemm', [x, weight, bias], { dtype: 'float32', shape: [10007, 1] });
    return encode(g.finish('product', [{ name: 'y', value: y }]));
  };
  const open = (model: Uint8Array, device: 'cpu' | 'webgpu') => openSession(model, { threadCount: 1, device });
  expect(() => open(product([]), 'webgpu')).toThrow(
    /^model on webgpu: expected products whose bias has a dimension, got a Gemm "" that adds the number "%\d". Publish/,
  );
  for (const session of [open(product([]), 'cpu'), open(product([1]), 'webgpu')]) {
    const { y } = session.run({ x: floatTensor(Float32Array.of(1, 1, 0, -1), [2, 2]) });
    expect([...(y!.data as Float32Array)]).toEqual([3.5, -1.5]);
    session.dispose();
  }
});
