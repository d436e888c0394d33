/** The WASM kernels of row programs over one memory. Addresses are bytes, counts are float32 values; checks are the planner's. */

import { kernelsBase64 } from './kernels.generated.ts';

/** ONNX operators of two operands, in the order in which the kernel numbers them. A comparison gives 1 or 0. */
export const binaryOps = ['Add', 'Sub', 'Mul', 'Div', 'Min', 'Max', 'Greater'] as const;
/** ONNX operators of one operand, likewise. */
export const unaryOps = ['Neg', 'Abs', 'Sqrt', 'Exp', 'Log', 'Tanh', 'Sigmoid', 'Softplus'] as const;

export type RowKernels = {
  /** y[O] = start[O] + x[I] W[I, O]; `start` 0 is zeros. */
  product(x: number, w: number, start: number, y: number, inCount: number, outCount: number): void;
  /** y[O] = x[I] W[O, I]^T. */
  turnedProduct(x: number, w: number, y: number, inCount: number, outCount: number): void;
  /** y[n] = a op b; a step of 0 takes one value throughout, a step of 4 the next. */
  binary(op: number, a: number, aStep: number, b: number, bStep: number, y: number, count: number): void;
  /** y[n] = op x. */
  unary(op: number, x: number, y: number, count: number): void;
  /** y[1] = the sum of n values. */
  sum(x: number, y: number, count: number): void;
  copy(x: number, y: number, count: number): void;
};

/** Below this address lie the module's own tables. */
export const firstAddress = 4096;

let compiled: WebAssembly.Module | undefined;

/** Instantiates the kernels over a memory; the module is compiled once per thread. */
export function instantiateRowKernels(memory: WebAssembly.Memory): RowKernels {
  compiled ??= new WebAssembly.Module(Buffer.from(kernelsBase64, 'base64'));
  const { tablesEnd, ...kernels } = new WebAssembly.Instance(compiled, { env: { memory } }).exports as RowKernels & {
    readonly tablesEnd: { readonly value: number };
  };
  if (tablesEnd.value > firstAddress) {
    throw new Error(`row kernels: expected tables that end before ${firstAddress}, got ${tablesEnd.value}`);
  }
  return kernels;
}
