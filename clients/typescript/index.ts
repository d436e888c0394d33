/** What the TypeScript client exports. */

export { HyperpolicyError } from '../../src/spec/errors.ts';
export * from './client.ts';
export { type Tensor, type TensorLike, toTensor } from './tensor.ts';
