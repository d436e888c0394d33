// Entry of the WASM module: the kernels of a row program. AssemblyScript, compiled by ../../../build-wasm.mjs; tsc does not read this
// folder. Arrays are byte addresses in the imported memory; counts are numbers of float32 values. Arithmetic is float32 and in
// the order written, so that a plain program gives the same bits; tanh, exp and log are AssemblyScript's.

export { binary, unary } from './elementwise';
export { product, turnedProduct } from './product';
export { copy, sum } from './sum';

/** Where the module's own tables end. */
export const tablesEnd: usize = __heap_base;
