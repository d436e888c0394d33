/** Shared by all exports: parameters as constants, generated layers by name, and a graph as file and manifest entry. */

import * as tf from '@tensorflow/tfjs-core';
import { mapValues } from '../../src/contract/records.ts';
import type { GeneratedLayer } from '../../src/nn/hyper/head.ts';
import type { Parameters, ParameterViews } from '../../src/nn/parameters.ts';
import { compile } from '../../src/onnx/compile.ts';
import { encode } from '../../src/onnx/encode.ts';
import type { NamedValue, Graph as OnnxGraph } from '../../src/onnx/graph.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import type { Graph } from '../../src/package/manifest.ts';
import { type InputSpec, type TracedFunction, trace } from '../../src/trace/trace.ts';

/** Parameters with their shapes, as a trained network holds them. */
export type NetworkParameters = {
  readonly views: ParameterViews;
  readonly shapes: Readonly<Record<string, readonly number[]>>;
};

/** An encoded graph with its manifest entry. */
export type GraphFile = { readonly bytes: Uint8Array; readonly graph: Graph };

/** One graph, or a primary and a dynamic one. */
export type NetworkFiles =
  | { readonly kind: 'plain'; readonly graph: GraphFile }
  | { readonly kind: 'hyper'; readonly primary: GraphFile; readonly dynamic: GraphFile };

/** The parameters as tensors, inside a trace: they become the graph's initialisers. Copied, so training may go on. */
export const asConstants = ({ views, shapes }: NetworkParameters): Record<string, tf.Tensor> =>
  mapValues(views, (data, name) => tf.tensor(data.slice(), [...shapes[name]!]));

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

type TracedPart = {
  readonly inputs: Readonly<Record<string, InputSpec>>;
  readonly fn: TracedFunction;
};

/**
 * `<name>.primary.onnx`, whose outputs are weights of K contexts, and `<name>.dynamic.onnx`: it takes these, `index` [B] (row -> context) and
 * inputs of its own.
 * @param dynamic.fn gets its own inputs, and the weights of each row, [B, ...], by the names of the primary's outputs
 */
export function splitFiles(
  name: 'policy' | 'critic',
  primary: TracedPart,
  dynamic: Pick<TracedPart, 'inputs'> & {
    readonly fn: (inputs: Parameters, weights: Parameters) => ReturnType<TracedFunction>;
  },
): NetworkFiles {
  const generating = graphFile(`${name}.primary.onnx`, trace(`${name}-primary`, primary.inputs, primary.fn));
  const generated = generating.graph.outputs.map((output) => [output.name, { shape: output.shape }] as const);
  const inputs: TracedPart['inputs'] = {
    ...Object.fromEntries(generated),
    index: { shape: ['B'], dtype: 'int64' },
    ...dynamic.inputs,
  };
  const graph = trace(`${name}-dynamic`, inputs, (tensors) => {
    const ofRows = generated.map(([weight]) => [weight, tf.gather(tensors[weight]!, tensors.index as tf.Tensor1D)]);
    return dynamic.fn(tensors, Object.fromEntries(ofRows));
  });
  return { kind: 'hyper', primary: generating, dynamic: graphFile(`${name}.dynamic.onnx`, graph) };
}

/** Values of a function of parameters alone, computed once. */
export function evaluateParameters(
  name: string,
  { views, shapes }: NetworkParameters,
  fn: TracedFunction,
): NetworkParameters {
  const inputs = mapValues(shapes, (shape) => ({ shape }));
  const session = compile(trace(name, inputs, fn), { threadCount: 1 });
  const feeds = Object.fromEntries(
    session.inputs.map((input) => [input.name, floatTensor(views[input.name]!, shapes[input.name]!)]),
  );
  const values = session.run(feeds);
  const result = {
    views: mapValues(values, ({ data }) => (data as Float32Array).slice()),
    shapes: mapValues(values, ({ dims }) => dims),
  };
  session.dispose();
  return result;
}

/** w0 g0 b0 w1 g1 b1 ... */
export const namedLayers = (layers: readonly GeneratedLayer[]): Record<string, tf.Tensor> =>
  Object.fromEntries(
    layers.flatMap(({ weight, gain, bias }, i) => [
      [`w${i}`, weight],
      [`g${i}`, gain],
      [`b${i}`, bias],
    ]),
  );

/** The layers of tensors w0 g0 b0 w1 ... */
export function layersFrom(tensors: Parameters): GeneratedLayer[] {
  const layerCount = Object.keys(tensors).filter((name) => /^w\d+$/.test(name)).length;
  return Array.from({ length: layerCount }, (_, i) => ({
    weight: tensors[`w${i}`]!,
    gain: tensors[`g${i}`]!,
    bias: tensors[`b${i}`]!,
  }));
}
