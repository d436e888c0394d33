/** A function of tensors on arrays: as one traced graph, or operation by operation. */

import '../../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { compile } from '../../../src/onnx/compile.ts';
import { floatTensor } from '../../../src/onnx/session.ts';
import { trace } from '../../../src/trace/trace.ts';

export type Input = { readonly data: Float32Array; readonly shape: readonly number[] };
export type Inputs = Readonly<Record<string, Input>>;
export type Fn = (inputs: Record<string, tf.Tensor>) => Record<string, tf.Tensor>;
export type Compute = (inputs: Inputs, fn: Fn) => Record<string, Float32Array>;

const prefix = 'result.';

function traced(inputs: Inputs, fn: Fn): Record<string, Float32Array> {
  const specs = Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, { shape }]));
  // A graph's outputs have names of their own: a function may give one the name of an input.
  const named = (tensors: Record<string, tf.Tensor>) =>
    Object.fromEntries(Object.entries(fn(tensors)).map(([name, tensor]) => [`${prefix}${name}`, tensor]));
  const session = compile(trace('golden', specs, named), { threadCount: 1 });
  const feeds = Object.fromEntries(
    session.inputs.map(({ name }) => [name, floatTensor(inputs[name]!.data, inputs[name]!.shape)]),
  );
  const results = Object.entries(session.run(feeds)).map(
    ([name, { data }]) => [name.slice(prefix.length), (data as Float32Array).slice()] as const,
  );
  session.dispose();
  return Object.fromEntries(results);
}

function eager(inputs: Inputs, fn: Fn): Record<string, Float32Array> {
  void tf.setBackend('cpu');
  const results: Record<string, Float32Array> = {};
  tf.tidy(() => {
    const tensors = Object.entries(inputs).map(([name, { data, shape }]) => [
      name,
      tf.tensor(data.slice(), [...shape]),
    ]);
    for (const [name, tensor] of Object.entries(fn(Object.fromEntries(tensors)))) {
      results[name] = (tensor.dataSync() as Float32Array).slice();
    }
  });
  return results;
}

export const computations: readonly (readonly [string, Compute])[] = [
  ['traced', traced],
  ['eager', eager],
];

/** A network's arrays as inputs under `prefix.`. */
export const networkInputs = (
  prefix: string,
  values: Readonly<Record<string, Float32Array>>,
  shapes: Readonly<Record<string, readonly number[]>>,
): Record<string, Input> =>
  Object.fromEntries(
    Object.entries(values).map(([name, data]) => [`${prefix}.${name}`, { data, shape: shapes[name]! }]),
  );
