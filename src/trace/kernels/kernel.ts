/** How a tfjs kernel becomes graph nodes: a function from input values and attributes to output values. */

import type { Builder } from '../../onnx/builder.ts';
import type { Value } from '../../onnx/graph.ts';

/** Attributes as tfjs gives them; each kernel casts to the type that tfjs documents for it. */
export type KernelAttributes = Readonly<Record<string, unknown>>;
export type KernelInputs = Readonly<Record<string, Value>> & { readonly list: readonly Value[] };

/** `inputs.list` holds the inputs of kernels that take an array (concat, pack, add-n). */
export type Kernel = (g: Builder, inputs: KernelInputs, attributes: KernelAttributes) => Value | Value[];

/** tfjs kernel name -> kernel. */
export type KernelTable = Readonly<Record<string, Kernel>>;
