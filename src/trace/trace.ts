/** Records a tfjs function as a graph. Owns the `trace` backend's life; knows nothing of networks. */

import * as tf from '@tensorflow/tfjs-core';
import { createBuilder } from '../onnx/builder.ts';
import type { Dtype, Graph, NamedValue, Shape, Symbols } from '../onnx/graph.ts';
import { TraceBackend, traceBackendName } from './backend.ts';
import './differentiate.ts';
import { registerTraceKernels } from './kernels/index.ts';

/** Sizes are numbers or the names of symbolic dimensions. */
export type InputSpec = { readonly shape: readonly (number | string)[]; readonly dtype?: Dtype };

/** A pure function of named tensors; what it closes over becomes a constant of the graph. */
export type TracedFunction = (inputs: Readonly<Record<string, tf.Tensor>>) => Readonly<Record<string, tf.Tensor>>;

/** Sentinel sizes: primes far from any layer width, so that no product of widths is a multiple of one. */
const sentinels = [10007, 10009, 10037, 10039];

const backend = new TraceBackend();
let registered = false;

/**
 * Runs `fn` once on symbolic tensors and returns the graph of what it computed.
 *
 * Shapes are concrete while tracing, sentinels in place of symbolic sizes; reading data is an error that names the kernel.
 * A random op would freeze its draw as a constant: pass noise as an input.
 * @throws Error for a kernel without a graph form, with its shapes
 */
export function trace(name: string, inputs: Readonly<Record<string, InputSpec>>, fn: TracedFunction): Graph {
  if (backend.builder !== undefined) throw new Error(`trace "${name}": expected no trace inside another, got one`);
  register();
  const symbols = symbolsOf(inputs);
  const builder = createBuilder(symbols);
  const previous = tf.getBackend();
  backend.builder = builder;
  setBackend(traceBackendName);
  try {
    let outputs: NamedValue[] = [];
    tf.tidy(() => {
      const tensors = Object.entries(inputs).map(([input, { shape, dtype = 'float32' }]) => {
        const value = builder.input(input, dtype, concrete(shape, symbols));
        const { dataId, shape: sizes, dtype: type } = backend.tensorInfo(value);
        return [input, tf.engine().makeTensorFromDataId(dataId, sizes, type)] as const;
      });
      const results = Object.entries(fn(Object.fromEntries(tensors)));
      outputs = results.map(([output, tensor]) => ({ name: output, value: backend.graphValue(tensor) }));
    });
    return builder.finish(name, outputs);
  } finally {
    backend.builder = undefined;
    setBackend(previous);
  }
}

function register(): void {
  if (registered) return;
  registered = true;
  tf.registerBackend(traceBackendName, () => backend, 0);
  registerTraceKernels();
}

/** tfjs types this as asynchronous, but a backend with a synchronous factory is set before the call returns. */
function setBackend(name: string | undefined): void {
  if (name !== undefined && name !== '') void tf.setBackend(name);
}

function symbolsOf(inputs: Readonly<Record<string, InputSpec>>): Symbols {
  const names = [
    ...new Set(
      Object.values(inputs).flatMap(({ shape }) => shape.filter((size): size is string => typeof size === 'string')),
    ),
  ];
  if (names.length > sentinels.length) {
    throw new Error(`trace: expected at most ${sentinels.length} symbolic dimensions, got ${names.join(', ')}`);
  }
  return new Map(names.map((symbol, i) => [sentinels[i]!, symbol]));
}

function concrete(shape: InputSpec['shape'], symbols: Symbols): Shape {
  const sizes = new Map([...symbols].map(([sentinel, symbol]) => [symbol, sentinel]));
  return shape.map((size) => (typeof size === 'string' ? sizes.get(size)! : size));
}
