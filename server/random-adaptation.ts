/** Encoders and inner steps with random parameters, as random-graphs.ts makes policies and critics; the inner step's gradient is written out. */

import { createRandom } from '../src/contract/random.ts';
import { type Builder, createBuilder, fill } from '../src/onnx/builder.ts';
import type { NamedValue, Value } from '../src/onnx/graph.ts';
import { add, arithmetic, cast, clip, comparison, mul, sub, unary } from '../src/onnx/ops/elementwise.ts';
import { matMul } from '../src/onnx/ops/matmul.ts';
import { reduce } from '../src/onnx/ops/reduce.ts';
import { concat, reshape, slice } from '../src/onnx/ops/shape.ts';
import {
  type BuiltGraph,
  finish,
  linear,
  type NetworkSizes,
  policyScale,
  relu,
  rows,
  symbols,
} from './random-graphs.ts';

const number = (value: number): Value => fill(value, 'float32', []);

/** Natural parameters of each transition's factor, from a network of two layers. */
export function encoderGraph(
  { observationSize, actionSize, contextSize, hiddenSize }: NetworkSizes,
  seed: number,
): BuiltGraph {
  const random = createRandom(seed);
  const g = createBuilder(symbols);
  const observation = g.input('observation', 'float32', [rows, observationSize]);
  const action = g.input('action', 'float32', [rows, actionSize]);
  const reward = reshape(g, g.input('reward', 'float32', [rows]), [rows, 1]);
  const hidden = relu(g, linear(g, random, concat(g, [observation, action, reward], 1), hiddenSize));
  const output = linear(g, random, hidden, 2 * contextSize);
  const mean = slice(g, output, [0, 0], [rows, contextSize]);
  const spread = slice(g, output, [0, contextSize], [rows, contextSize]);
  const variance = add(g, unary(g, 'Softplus', spread), number(1e-7));
  return finish(g, 'encoder.onnx', [
    { name: 'precision', value: arithmetic(g, 'Div', number(1), variance) },
    { name: 'weighted_mean', value: arithmetic(g, 'Div', mean, variance) },
  ]);
}

/** A layer's generated tensors, without the leading 1. */
type Layer = { readonly weight: Value; readonly gain: Value; readonly bias: Value };

/** Actions are kept so far inside the bounds, where they have a finite pre-image under tanh. */
const actionMargin = 1e-6;

/**
 * The inner step of a random hyper policy: the log-density is the Gaussian's before the tanh, whose correction does not depend on
 * the weights.
 */
export function adaptGraph(
  { observationSize, actionSize, hiddenSize }: NetworkSizes,
  { stepSize }: { readonly stepSize: number },
): BuiltGraph {
  const g = createBuilder(symbols);
  const first = layerInputs(g, 0, [observationSize, hiddenSize]);
  const last = layerInputs(g, 1, [hiddenSize, actionSize]);
  const observation = g.input('observation', 'float32', [rows, observationSize]);
  const action = clip(g, g.input('action', 'float32', [rows, actionSize]), actionMargin - 1, 1 - actionMargin);
  const coefficient = reshape(g, g.input('coefficient', 'float32', [rows]), [rows, 1]);

  const product0 = matMul(g, observation, first.weight); // [N, H]
  const before = add(g, mul(g, product0, first.gain), first.bias);
  const hidden = relu(g, before);
  const product1 = matMul(g, hidden, last.weight); // [N, A]
  const mean = add(g, mul(g, product1, last.gain), last.bias);

  // d log N(u; mean, scale^2) / d mean = (u - mean) / scale^2, with u = atanh(action).
  const u = unary(g, 'Atanh', action);
  const atMean = mul(g, mul(g, sub(g, u, mean), coefficient), number(1 / policyScale ** 2));
  const atProduct1 = mul(g, atMean, last.gain);
  const open = cast(g, comparison(g, 'Greater', before, number(0)), 'float32');
  const atBefore = mul(g, matMul(g, atProduct1, last.weight, { transposeB: true }), open);
  const sumRows = (x: Value) => reduce(g, 'ReduceSum', x, { axes: [0], keepDims: true });
  const gradients: Record<string, Value> = {
    w0: matMul(g, observation, mul(g, atBefore, first.gain), { transposeA: true }),
    g0: sumRows(mul(g, atBefore, product0)),
    b0: sumRows(atBefore),
    w1: matMul(g, hidden, atProduct1, { transposeA: true }),
    g1: sumRows(mul(g, atMean, product1)),
    b1: sumRows(atMean),
  };
  const weights: Record<string, Value> = {
    ...{ w0: first.weight, g0: first.gain, b0: first.bias },
    ...{ w1: last.weight, g1: last.gain, b1: last.bias },
  };
  const outputs = Object.entries(weights).map(([name, weight]): NamedValue => {
    const moved = add(g, weight, mul(g, gradients[name]!, number(stepSize)));
    return { name: `adapted_${name}`, value: reshape(g, moved, [1, ...moved.shape]) };
  });
  return finish(g, 'adapt.onnx', outputs);
}

function layerInputs(g: Builder, i: number, [inputSize, outputSize]: [number, number]): Layer {
  const input = (name: string, sizes: number[]) => reshape(g, g.input(`${name}${i}`, 'float32', [1, ...sizes]), sizes);
  return {
    weight: input('w', [inputSize, outputSize]),
    gain: input('g', [1, outputSize]),
    bias: input('b', [1, outputSize]),
  };
}
