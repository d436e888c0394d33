/** How training computations run: the same tfjs functions, traced to ONNX or eagerly on a tfjs backend. */

import type { TracedFunction } from '../../src/trace/trace.ts';

export type BoundInput = { readonly shape: readonly number[]; readonly data: Float32Array };

/**
 * A computation over fixed arrays: every run reads its inputs from the same memory and writes its outputs to the same memory.
 * So a run allocates nothing and copies no parameters.
 */
export type ComputationDefinition = {
  readonly name: string;
  readonly inputs: Readonly<Record<string, BoundInput>>;
  /** Receives each output of `fn`, row-major; the sizes must agree. */
  readonly outputs: Readonly<Record<string, Float32Array>>;
  readonly fn: TracedFunction;
};

export type Computation = {
  run(): void;
  dispose(): void;
};

/**
 * A computation that begins with its former result, repeated several times in one run. If it runs on a device, the state
 * stays there between the passes.
 */
export type RepeatedDefinition = {
  readonly name: string;
  /** Passes of one run. */
  readonly passCount: number;
  /** Read at the begin of a run and written at its end, by name. */
  readonly state: Readonly<Record<string, BoundInput>>;
  /** The input of each pass: the shape is that of one pass, the array has all passes, one after the other. */
  readonly slices: Readonly<Record<string, BoundInput>>;
  /** From state and slices to the state after the pass, under the names of the state. */
  readonly pass: TracedFunction;
};

export type Engine = {
  readonly name: string;
  compile(definition: ComputationDefinition): Computation;
  compileRepeated(definition: RepeatedDefinition): Computation;
};

/** Inputs for a network's parameters under `prefix.`. */
export const boundParameters = (
  prefix: string,
  views: Readonly<Record<string, Float32Array>>,
  shapes: Readonly<Record<string, readonly number[]>>,
): Record<string, BoundInput> =>
  Object.fromEntries(
    Object.entries(views).map(([name, data]) => [`${prefix}.${name}`, { data, shape: shapes[name]! }]),
  );

/** Outputs for a network's gradients under `prefix.`. */
export const boundGradients = (
  prefix: string,
  views: Readonly<Record<string, Float32Array>>,
): Record<string, Float32Array> =>
  Object.fromEntries(Object.entries(views).map(([name, data]) => [`${prefix}.${name}`, data]));
