/** Shared by the exports: parameters as constants, and a graph as file and manifest entry. */

import * as tf from '@tensorflow/tfjs-core';
import { encode } from '../../src/onnx/encode.ts';
import type { NamedValue, Graph as OnnxGraph } from '../../src/onnx/graph.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import type { Graph } from '../../src/spec/manifest.ts';

/** Parameters with their shapes, as a trained network holds them. */
export type NetworkParameters = {
  readonly views: Readonly<Record<string, Float32Array>>;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
};

/** An encoded graph with its manifest entry. */
export type GraphFile = { readonly bytes: Uint8Array; readonly graph: Graph };

/** The parameters as tensors, inside a trace: they become the graph's initialisers. Copied, so training may go on. */
export const asConstants = ({ views, shapes }: NetworkParameters): Record<string, tf.Tensor> =>
  Object.fromEntries(Object.entries(views).map(([name, data]) => [name, tf.tensor(data.slice(), [...shapes[name]!])]));

/** Cleans and encodes a traced graph. */
export function graphFile(file: string, traced: OnnxGraph): GraphFile {
  const optimised = optimise(traced);
  const tensor = ({ name, value }: NamedValue) => ({
    name,
    dtype: value.dtype as 'float32' | 'int64',
    shape: value.shape.map((size) => traced.symbols.get(size) ?? size),
  });
  return {
    bytes: encode(optimised),
    graph: { file, inputs: traced.inputs.map(tensor), outputs: traced.outputs.map(tensor) },
  };
}
