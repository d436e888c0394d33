/** Registers every kernel with the `trace` backend. */

import * as tf from '@tensorflow/tfjs-core';
import { type TraceBackend, traceBackendName } from '../backend.ts';
import { callSite } from '../call-site.ts';
import { activationKernels } from './activations.ts';
import { comparisonKernels } from './comparison.ts';
import { constantKernels } from './constants.ts';
import { elementwiseKernels } from './elementwise.ts';
import { indexingKernels } from './indexing.ts';
import type { Kernel, KernelAttributes, KernelInputs, KernelTable } from './kernel.ts';
import { matMulKernels } from './matmul.ts';
import { reduceKernels } from './reduce.ts';
import { shapeKernels } from './shape.ts';

/** Every kernel with a graph form, by family: the registry that the README's table is made from. */
export const kernelFamilies: Readonly<Record<string, KernelTable>> = {
  arithmetic: elementwiseKernels,
  activations: activationKernels,
  'comparison and selection': comparisonKernels,
  reductions: reduceKernels,
  'matrix products': matMulKernels,
  shapes: shapeKernels,
  indexing: indexingKernels,
  constants: constantKernels,
};

export const kernels: KernelTable = Object.assign({}, ...Object.values(kernelFamilies));

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
    const operands = { ...Object.fromEntries(values), list } as unknown as KernelInputs;
    const result = located(name, inputs, () => kernel(trace.graph, operands, attributes));
    return Array.isArray(result) ? result.map((value) => trace.tensorInfo(value)) : trace.tensorInfo(result);
  };
}

/** Adds to a kernel's error where the traced function called it. */
function located<T>(name: string, inputs: tf.NamedTensorInfoMap, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    const message = `trace: "${name}" with ${shapesOf(inputs)}, called at ${callSite()}: ${(cause as Error).message}`;
    throw new Error(message, { cause });
  }
}

function refused(name: string): tf.KernelFunc {
  return ({ inputs }) => {
    throw new Error(
      `trace: expected a kernel of src/trace/kernels, got "${name}" with ${shapesOf(inputs)}, called at ${callSite()}. ` +
        'Write the function with supported operations, or add the kernel there',
    );
  };
}

const shapesOf = (inputs: tf.NamedTensorInfoMap): string =>
  tensorsOf(inputs)
    .map(([key, { shape }]) => `${key} [${shape}]`)
    .join(', ') || 'no inputs';

const tensorsOf = (inputs: tf.NamedTensorInfoMap): [string, tf.TensorInfo][] =>
  Object.entries(inputs).flatMap(([key, tensor]) => (tensor == null ? [] : [[key, tensor] as [string, tf.TensorInfo]]));
