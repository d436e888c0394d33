// Entry of the WASM module: every kernel. AssemblyScript, compiled by ../../build-wasm.mjs; tsc does not read this folder.
// Arrays are byte addresses in the imported memory; counts are numbers of float32 values. Arithmetic is float32 (sums of
// squares float64) and in the order written, so that a plain program gives the same bits.

export { adam } from './adam';
export { scale, sumOfSquares } from './norm';
export { polyak } from './polyak';
export { sgd } from './sgd';
