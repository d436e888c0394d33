/** What the TypeScript client exports. */

export { HyperpolicyError } from '../../src/contract/errors.ts';
export type { ActOptions, ActResult, ModelSelection } from './act.ts';
export type { ActStream, ActStreamOptions, StreamedAct } from './act-stream.ts';
export type { AdaptOptions, AdaptResult } from './adapt.ts';
export * from './admin.ts';
export * from './client.ts';
export type { ConnectionOptions, TlsOptions } from './connection.ts';
export { type Tensor, type TensorLike, toTensor } from './tensor.ts';
export type { CallOptions } from './unary.ts';
