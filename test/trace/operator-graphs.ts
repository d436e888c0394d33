/** Graphs of every operator case with its derivatives. */

import * as tf from '@tensorflow/tfjs-core';
import { createRandom } from '../../src/contract/random.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { type TracedFunction, trace } from '../../src/trace/trace.ts';
import { operatorCases } from './operator-cases.ts';

/**
 * y, and of L = sum(c (y + y^2 / 2)) + sum(x^2) / 2 the gradient and the product of its Hessian with fixed
 * vectors `v.*`; c and the vectors are ones where they are no inputs.
 */
export const derivatives =
  (f: (...x: tf.Tensor[]) => tf.Tensor, names: readonly string[]): TracedFunction =>
  (inputs) => {
    const x = names.map((name) => inputs[name]!);
    const value = f(...x);
    const weights = inputs.c ?? tf.onesLike(value);
    const gradientsOf = (...v: tf.Tensor[]) =>
      tf.grads((...w: tf.Tensor[]) => {
        const y = f(...w);
        const own = w.map((input) => tf.mul(tf.sum(tf.square(input)), 0.5));
        return tf.addN([tf.sum(tf.mul(weights, tf.add(y, tf.mul(tf.square(y), 0.5)))), ...own]);
      })(v);
    const first = gradientsOf(...x);
    const along = (...v: tf.Tensor[]) =>
      tf.addN(
        gradientsOf(...v).map((gradient, i) =>
          tf.sum(tf.mul(gradient, inputs[`v.${names[i]}`] ?? tf.onesLike(gradient))),
        ),
      );
    const second = tf.grads(along)(x);
    return {
      value,
      ...Object.fromEntries(
        names.flatMap((name, i) => [[`d.${name}`, first[i]!] as const, [`h.${name}`, second[i]!] as const]),
      ),
    };
  };

/** One graph per operator, its first trial, in second order where it has one. */
export const operatorGraphs = (): Graph[] =>
  Object.entries(operatorCases).map(([name, { shapes, f: build, check = 'gradients' }]) => {
    const random = createRandom(1);
    const drawn = shapes(random);
    const f = build(drawn, random);
    const names = drawn.map((_, i) => `x${i}`);
    const specs = Object.fromEntries(names.map((input, i) => [input, { shape: drawn[i]! }]));
    const values: TracedFunction = (inputs) => ({ value: f(...names.map((input) => inputs[input]!)) });
    return trace(name, specs, check === 'gradients' ? derivatives(f, names) : values);
  });
