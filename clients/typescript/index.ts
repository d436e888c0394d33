/** What the TypeScript client exports. */

export { type ErrorKind, HyperpolicyError } from '../../src/contract/errors.ts';
export type { ActOptions, ActResult, FallbackReason } from './act.ts';
export type { ActStream } from './act-stream.ts';
export type { ActStreamEvent, ActStreamOptions, StreamedAct, StreamedActCall } from './act-stream-options.ts';
export type { AdaptOptions, AdaptResult } from './adapt.ts';
export * from './admin.ts';
export * from './client.ts';
export type { ConnectionOptions, Metadata, TlsOptions } from './connection.ts';
export type { PrepareOptions, PrepareResult } from './prepare.ts';
export type { QGradOptions, QGradResult } from './q-grad.ts';
export type { ModelSelection } from './request.ts';
export { type Tensor, type TensorLike, toTensor } from './tensor.ts';
export type { CallOptions } from './unary.ts';
