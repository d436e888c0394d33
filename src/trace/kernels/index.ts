/** Registers every kernel with the `trace` backend. */

import * as tf from '@tensorflow/tfjs-core';
import { type TraceBackend, traceBackendName } from '../backend.ts';
import { elementwiseKernels } from './elementwise.ts';
import type { Kernel, KernelAttributes, KernelInputs, KernelTable } from './kernel.ts';
import { matMulKernels } from './matmul.ts';
import { reduceKernels } from './reduce.ts';
import { shapeKernels } from './shape.ts';

export const kernels: KernelTable = { ...elementwiseKernels, ...reduceKernels, ...matMulKernels, ...shapeKernels };

export function registerTraceKernels(): void {
  for (const [kernelName, kernel] of Object.entries(kernels)) register(kernelName, traced(kernelName, kernel));
  for (const kernelName of otherKernelNames()) register(kernelName, refused(kernelName));
}

const register = (kernelName: string, kernelFunc: tf.KernelFunc) =>
  tf.registerKernel({ kernelName, backendName: traceBackendName, kernelFunc });

/** Every kernel that tfjs names and that is not in the table. */
const otherKernelNames = (): string[] =>
  Object.entries(tf).flatMap(([name, value]) => (name === value && !(name in kernels) ? [name] : []));

function traced(name: string, kernel: Kernel): tf.KernelFunc {
  return ({ inputs, attrs, backend }) => {
    const trace = backend as TraceBackend;
    trace.lastKernel = name;
    const values = tensorsOf(inputs).map(([key, tensor]) => [key, trace.graphValue(tensor)] as const);
    const list = Array.isArray(inputs) ? values.map(([, value]) => value) : [];
    const attributes = (attrs ?? {}) as unknown as KernelAttributes;
    const result = kernel(trace.graph, { ...Object.fromEntries(values), list } as unknown as KernelInputs, attributes);
    return Array.isArray(result) ? result.map((value) => trace.tensorInfo(value)) : trace.tensorInfo(result);
  };
}

function refused(name: string): tf.KernelFunc {
  return ({ inputs }) => {
    const shapes = tensorsOf(inputs).map(([key, { shape }]) => `${key} [${shape}]`);
    throw new Error(
      `trace: expected a kernel of src/trace/kernels, got "${name}" with ${shapes.join(', ') || 'no inputs'}. ` +
        'Write the function with supported operations, or add the kernel there',
    );
  };
}

const tensorsOf = (inputs: tf.NamedTensorInfoMap): [string, tf.TensorInfo][] =>
  Object.entries(inputs).flatMap(([key, tensor]) => (tensor == null ? [] : [[key, tensor] as [string, tf.TensorInfo]]));
