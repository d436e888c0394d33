/**
 * Graphs with random parameters that obey the contract between trainer and server: every kind of package without a trainer, for
 * load tests and for the server's own tests. They compute something smooth; they control nothing.
 */

import { createRandom, type Random } from '../src/contract/random.ts';
import { type Builder, createBuilder, dense, fill } from '../src/onnx/builder.ts';
import { encode } from '../src/onnx/encode.ts';
import type { NamedValue, Symbols, Value } from '../src/onnx/graph.ts';
import { add, cast, comparison, mul, sub, unary } from '../src/onnx/ops/elementwise.ts';
import { gather } from '../src/onnx/ops/indexing.ts';
import { matMul } from '../src/onnx/ops/matmul.ts';
import { reduce } from '../src/onnx/ops/reduce.ts';
import { concat, reshape } from '../src/onnx/ops/shape.ts';
import { optimise } from '../src/onnx/passes/index.ts';
import type { Graph } from '../src/package/manifest.ts';

/** An encoded graph with what the manifest says of it. */
export type BuiltGraph = { readonly graph: Graph; readonly bytes: Uint8Array };

export type NetworkSizes = {
  readonly observationSize: number;
  readonly actionSize: number;
  readonly contextSize: number;
  /** Width of the hidden layer of plain and dynamic networks. */
  readonly hiddenSize: number;
  /** Widths of the primary's trunk, each with two residual blocks behind it. */
  readonly trunkSizes: readonly number[];
};

/** Sizes at which symbolic dimensions are built; primes, so that no other size is a multiple of one. */
export const rows = 100_003;
const contexts = 100_019;
export const symbols: Symbols = new Map([
  [rows, 'B'],
  [contexts, 'K'],
]);

/** Cleans and encodes a graph. */
export function finish(g: Builder, file: string, outputs: NamedValue[]): BuiltGraph {
  const built = g.finish(file, outputs);
  const listed = ({ name, value }: NamedValue): Graph['inputs'][number] => ({
    name,
    dtype: value.dtype as 'float32' | 'int64',
    shape: value.shape.map((size) => symbols.get(size) ?? size),
  });
  return {
    graph: { file, inputs: built.inputs.map(listed), outputs: outputs.map(listed) },
    bytes: encode(optimise(built)),
  };
}

/** Uniform in +-1/sqrt(fan in), as a linear layer's usual initialisation. */
function uniform(random: Random, shape: readonly number[], bound: number): Value {
  const size = shape.reduce((product, length) => product * length, 1);
  return dense(
    Float32Array.from({ length: size }, () => (2 * random.uniform() - 1) * bound),
    'float32',
    shape,
  );
}

/** x W + b with random parameters. */
export function linear(g: Builder, random: Random, x: Value, outputSize: number, bound?: number): Value {
  const inputSize = x.shape[1]!;
  const limit = bound ?? 1 / Math.sqrt(inputSize);
  const product = matMul(g, x, uniform(random, [inputSize, outputSize], limit));
  return add(g, product, uniform(random, [outputSize], limit));
}

export const relu = (g: Builder, x: Value): Value => unary(g, 'Relu', x);

/** x + Lin(ReLU(Lin(ReLU x))) */
function residualBlock(g: Builder, random: Random, x: Value): Value {
  const size = x.shape[1]!;
  return add(g, x, linear(g, random, relu(g, linear(g, random, relu(g, x), size)), size));
}

/** Sums over the last dimension. */
const sumLast = (g: Builder, x: Value): Value =>
  reduce(g, 'ReduceSum', x, { axes: [x.shape.length - 1], keepDims: false });

/** Standard deviation before the tanh. */
export const policyScale = 0.1;

/** action = tanh(mean + 0.1 noise), log_prob of the Gaussian before the tanh corrected for it. */
function policyHead(g: Builder, mean: Value, noise: Value | undefined): NamedValue[] {
  if (noise === undefined) return [{ name: 'action', value: unary(g, 'Tanh', mean) }];
  const drawn = add(g, mean, mul(g, noise, fill(policyScale, 'float32', [])));
  const action = unary(g, 'Tanh', drawn);
  const constant = -Math.log(policyScale) - 0.5 * Math.log(2 * Math.PI);
  const normal = add(g, mul(g, mul(g, noise, noise), fill(-0.5, 'float32', [])), fill(constant, 'float32', []));
  // log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2 u)): exact where the action is near its bounds, too.
  const softplus = unary(g, 'Softplus', mul(g, drawn, fill(-2, 'float32', [])));
  const inner = sub(g, sub(g, fill(Math.LN2, 'float32', []), drawn), softplus);
  const correction = mul(g, inner, fill(2, 'float32', []));
  return [
    { name: 'action', value: action },
    { name: 'log_prob', value: sumLast(g, sub(g, normal, correction)) },
  ];
}

/** A two-layer policy; takes a context where `contextSize` is not 0. */
export function plainPolicyGraph(sizes: NetworkSizes, { seed, stochastic }: PolicyOptions): BuiltGraph {
  const { observationSize, actionSize, contextSize, hiddenSize } = sizes;
  const random = createRandom(seed);
  const g = createBuilder(symbols);
  const observation = g.input('observation', 'float32', [rows, observationSize]);
  let hidden = linear(g, random, observation, hiddenSize);
  if (contextSize > 0) {
    const context = g.input('context', 'float32', [rows, contextSize]);
    hidden = add(g, hidden, linear(g, random, context, hiddenSize));
  }
  const noise = stochastic ? g.input('noise', 'float32', [rows, actionSize]) : undefined;
  const mean = linear(g, random, relu(g, linear(g, random, relu(g, hidden), hiddenSize)), actionSize);
  return finish(g, 'policy.onnx', policyHead(g, mean, noise));
}

export type PolicyOptions = { readonly seed: number; readonly stochastic: boolean };

/** A critic with twins, and its gradient written out. */
export function plainCriticGraph(sizes: NetworkSizes, seed: number): BuiltGraph {
  const { observationSize, actionSize, hiddenSize } = sizes;
  const random = createRandom(seed);
  const g = createBuilder(symbols);
  const observation = g.input('observation', 'float32', [rows, observationSize]);
  const action = g.input('action', 'float32', [rows, actionSize]);
  const bound = 1 / Math.sqrt(observationSize + actionSize);
  const twins = [0, 1].map(() => {
    const weight = uniform(random, [actionSize, hiddenSize], bound);
    const before = add(g, linear(g, random, observation, hiddenSize, bound), matMul(g, action, weight));
    const last = uniform(random, [hiddenSize, 1], 1 / Math.sqrt(hiddenSize));
    const open = cast(g, comparison(g, 'Greater', before, fill(0, 'float32', [])), 'float32');
    const sensitivity = mul(g, open, reshape(g, last, [hiddenSize]));
    return {
      q: matMul(g, relu(g, before), last), // [B, 1]
      gradient: matMul(g, sensitivity, weight, { transposeB: true }), // [B, A]
    };
  });
  const gradients = twins.map(({ gradient }) => reshape(g, gradient, [rows, 1, actionSize]));
  const values = twins.map(({ q }) => q);
  return finish(g, 'critic.onnx', [
    { name: 'q', value: concat(g, values, 1) },
    { name: 'dq_da', value: concat(g, gradients, 1) },
  ]);
}

type Layer = { readonly inputSize: number; readonly outputSize: number };

/** A primary that generates the weights of `layers`; with an ensemble, one such network for each member. */
function primaryGraph(
  { trunkSizes }: NetworkSizes,
  { file, inputName, inputSize, layers, ensembleSize, seed }: PrimaryOptions,
): BuiltGraph {
  const random = createRandom(seed);
  const g = createBuilder(symbols);
  const meta = g.input(inputName, 'float32', [contexts, inputSize]);
  const members = Array.from({ length: ensembleSize ?? 1 }, () => generator(g, random, { meta, trunkSizes, layers }));
  const outputs = members[0]!.map(({ name, value }, i): NamedValue => {
    if (ensembleSize === undefined) return { name, value };
    const stacked = members.map((member) => reshape(g, member[i]!.value, [contexts, 1, ...value.shape.slice(1)]));
    return { name, value: concat(g, stacked, 1) };
  });
  return finish(g, file, outputs);
}

type GeneratorOptions = {
  readonly meta: Value; // [K, inputSize]
  readonly trunkSizes: readonly number[];
  readonly layers: readonly Layer[];
};

/** One trunk with its heads: `w0 g0 b0 w1 ...`, each [K, ...]. */
function generator(g: Builder, random: Random, { meta, trunkSizes, layers }: GeneratorOptions): NamedValue[] {
  let trunk = meta;
  for (const size of trunkSizes) {
    trunk = linear(g, random, trunk, size);
    trunk = residualBlock(g, random, residualBlock(g, random, trunk));
  }
  return layers.flatMap(({ inputSize, outputSize }, i): NamedValue[] => {
    const bound = (i === 0 ? 1 : 0.3) / Math.sqrt(trunk.shape[1]!);
    const head = (sizes: [number, number]) =>
      reshape(g, linear(g, random, trunk, sizes[0] * sizes[1], bound), [contexts, ...sizes]);
    return [
      { name: `w${i}`, value: head([inputSize, outputSize]) },
      { name: `g${i}`, value: add(g, head([1, outputSize]), fill(1, 'float32', [])) },
      { name: `b${i}`, value: head([1, outputSize]) },
    ];
  });
}

type PrimaryOptions = {
  readonly file: string;
  readonly inputName: string;
  readonly inputSize: number;
  readonly layers: readonly Layer[];
  readonly ensembleSize?: number;
  readonly seed: number;
};

/** Declares the generated weights of `layers` as inputs and picks each row's. */
function weightInputs(g: Builder, layers: readonly Layer[], index: Value, ensemble: readonly number[]) {
  return layers.map(({ inputSize, outputSize }, i) => {
    const picked = (name: string, sizes: number[]) =>
      gather(g, g.input(`${name}${i}`, 'float32', [contexts, ...ensemble, ...sizes]), index, 0);
    return {
      weight: picked('w', [inputSize, outputSize]),
      gain: picked('g', [1, outputSize]),
      bias: picked('b', [1, outputSize]),
    };
  });
}

/** A hyper policy: context -> weights of observation -> hidden -> action. */
export function hyperPolicyGraphs(sizes: NetworkSizes, { seed, stochastic }: PolicyOptions) {
  const { observationSize, actionSize, contextSize, hiddenSize } = sizes;
  const layers = [
    { inputSize: observationSize, outputSize: hiddenSize },
    { inputSize: hiddenSize, outputSize: actionSize },
  ];
  const primary = primaryGraph(sizes, {
    file: 'policy.primary.onnx',
    inputName: 'context',
    inputSize: contextSize,
    layers,
    seed,
  });
  const g = createBuilder(symbols);
  const index = g.input('index', 'int64', [rows]);
  const [first, last] = weightInputs(g, layers, index, []) as [GeneratedLayer, GeneratedLayer];
  const observation = g.input('observation', 'float32', [rows, observationSize]);
  const noise = stochastic ? g.input('noise', 'float32', [rows, actionSize]) : undefined;
  const hidden = relu(g, generatedLayer(g, reshape(g, observation, [rows, 1, observationSize]), first));
  const mean = reshape(g, generatedLayer(g, hidden, last), [rows, actionSize]);
  return { primary, dynamic: finish(g, 'policy.dynamic.onnx', policyHead(g, mean, noise)) };
}

type GeneratedLayer = { readonly weight: Value; readonly gain: Value; readonly bias: Value };

/** g * (x W) + b */
const generatedLayer = (g: Builder, x: Value, { weight, gain, bias }: GeneratedLayer): Value =>
  add(g, mul(g, matMul(g, x, weight), gain), bias);

/** A hyper critic with twins: observation -> weights of action -> hidden -> value, and its gradient written out. */
export function hyperCriticGraphs(sizes: NetworkSizes, seed: number) {
  const { observationSize, actionSize, hiddenSize } = sizes;
  const ensembleSize = 2;
  const layers = [
    { inputSize: actionSize, outputSize: hiddenSize },
    { inputSize: hiddenSize, outputSize: 1 },
  ];
  const primary = primaryGraph(sizes, {
    file: 'critic.primary.onnx',
    inputName: 'observation',
    inputSize: observationSize,
    layers,
    ensembleSize,
    seed,
  });
  const g = createBuilder(symbols);
  const index = g.input('index', 'int64', [rows]);
  const [first, last] = weightInputs(g, layers, index, [ensembleSize]) as [GeneratedLayer, GeneratedLayer];
  const action = g.input('action', 'float32', [rows, actionSize]);
  const before = generatedLayer(g, reshape(g, action, [rows, 1, 1, actionSize]), first); // [B, Q, 1, H]
  const q = generatedLayer(g, relu(g, before), last); // [B, Q, 1, 1]
  const open = cast(g, comparison(g, 'Greater', before, fill(0, 'float32', [])), 'float32');
  // d q / d before = gain1 * W1 where the unit is open; d before / d a = gain0 * W0.
  const lastRow = reshape(g, mul(g, last.weight, last.gain), [rows, ensembleSize, 1, hiddenSize]);
  const sensitivity = mul(g, mul(g, open, lastRow), first.gain); // [B, Q, 1, H]
  const gradient = matMul(g, sensitivity, first.weight, { transposeB: true }); // [B, Q, 1, A]
  const dynamic = finish(g, 'critic.dynamic.onnx', [
    { name: 'q', value: reshape(g, q, [rows, ensembleSize]) },
    { name: 'dq_da', value: reshape(g, gradient, [rows, ensembleSize, actionSize]) },
  ]);
  return { primary, dynamic };
}
