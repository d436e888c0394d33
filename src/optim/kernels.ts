/** The WASM kernels over one memory. Addresses are bytes, counts are float32 values; checks are the callers'. */

import { kernelsBase64 } from './kernels.generated.ts';

export type Kernels = {
  adam(
    parameters: number,
    gradients: number,
    moment1: number,
    moment2: number,
    count: number,
    blend1: number,
    beta2: number,
    blend2: number,
    stepSize: number,
    rescale2: number,
    epsilon: number,
    decay: number,
  ): 0 | 1;
  polyak(target: number, source: number, count: number, tau: number): void;
  sgd(
    parameters: number,
    gradients: number,
    buffer: number,
    count: number,
    learningRate: number,
    momentum: number,
    weightDecay: number,
    shareOfGradient: number,
    shareOfBuffer: number,
  ): void;
  sumOfSquares(values: number, count: number): number;
  scale(values: number, count: number, factor: number): void;
};

let compiled: WebAssembly.Module | undefined;

/** Instantiates the kernels over a memory; the module is compiled once per thread. */
export function instantiateKernels(memory: WebAssembly.Memory): Kernels {
  compiled ??= new WebAssembly.Module(Buffer.from(kernelsBase64, 'base64'));
  return new WebAssembly.Instance(compiled, { env: { memory } }).exports as Kernels;
}
