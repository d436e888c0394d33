// Entry of the WASM module: every kernel. AssemblyScript, compiled by ../build-wasm.mjs; tsc does not read this folder.
// Arrays are byte addresses in the imported memory; counts are numbers of float32 values. Arithmetic is float32 and in the
// order written, so that a plain float32 program gives the same bits.

export { adam } from './adam';
export { polyak } from './polyak';
