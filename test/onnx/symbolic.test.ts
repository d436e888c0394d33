/** One graph with a symbolic batch gives, at every batch size, what the graph of that fixed size gives. */

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { ensembleQ } from '../../src/nn/critics/critic.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { criticNames } from '../../src/nn/names.ts';
import { initialise, shapesOf } from '../../src/nn/parameters.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor, type TensorMap } from '../../src/onnx/session.ts';
import { trace } from '../../src/trace/trace.ts';

const sizes = { observationSize: 5, actionSize: 3, ensembleSize: 2 };
const small = { trunkSizes: [12, 16], dynamicHiddenSizes: [8] };

function normals(seed: number, ...shape: number[]) {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  createRandom(seed).fillNormal(data);
  return floatTensor(data, shape);
}

describe.each(criticNames.filter((name) => !/large|35/.test(name)))('critic %s', (architecture) => {
  const hyper = architecture.endsWith('hyper');
  const critic = createCritic({ architecture, ...(hyper && small) }, sizes);
  const shapes = shapesOf(critic.specs);
  const views = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, new Float32Array(shape.reduce((a, b) => a * b, 1))]),
  );
  initialise(critic.specs, views, createRandom(3));
  const parameters = Object.fromEntries(
    Object.entries(views).map(([name, data]) => [name, floatTensor(data, shapes[name]!)]),
  );

  /** q and its gradient with respect to the action, for `rows` rows. */
  const session = (rows: number | string) => {
    const specs = {
      ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape }])),
      observation: { shape: [rows, 5] },
      action: { shape: [rows, 3] },
    };
    const graph = trace('critic', specs, ({ observation, action, ...weights }) => {
      const q = (a: tf.Tensor) => ensembleQ(critic, weights, observation as tf.Tensor2D, a as tf.Tensor2D);
      return {
        q: q(action!),
        dq_da: tf.grad((a: tf.Tensor) => tf.sum(q(a)))(action!),
        ones: tf.ones([action!.shape[0]!, 2]),
      };
    });
    return compile(graph, { threadCount: 1 });
  };

  test('at 1, 2, 7 and 256 rows', () => {
    const symbolic = session('B');
    for (const rows of [1, 2, 7, 256]) {
      const fixed = session(rows);
      const feeds: TensorMap = {
        ...parameters,
        observation: normals(rows, rows, 5),
        action: normals(rows + 1, rows, 3),
      };
      const [expected, actual] = [fixed.run(feeds), symbolic.run(feeds)];
      for (const [name, { dims, data }] of Object.entries(expected)) {
        expect(actual[name]!.dims, name).toEqual(dims);
        (data as Float32Array).forEach((value, i) => {
          expect(actual[name]!.data[i], `${name}[${i}] of ${rows} rows`).toBeCloseTo(value, 5);
        });
      }
      fixed.dispose();
    }
    symbolic.dispose();
  });
});

test('rows without values are reshaped', () => {
  const graph = trace('empty', { x: { shape: ['B', 0] } }, ({ x }) => ({ y: tf.reshape(x!, [x!.shape[0]!, 1, 0]) }));
  const session = compile(graph, { threadCount: 1 });
  expect(session.run({ x: floatTensor(new Float32Array(0), [3, 0]) }).y!.dims).toEqual([3, 1, 0]);
  session.dispose();
});
