/** What the client exports to browsers. */

export { type ErrorKind, HyperpolicyError } from '../../src/contract/errors.ts';
export type { ActOptions, ActResult, FallbackReason } from './act.ts';
export type { ActCallOptions } from './act-call.ts';
export type { AdaptOptions, AdaptResult } from './adapt.ts';
export type { CallOptions, Metadata } from './call-options.ts';
export * from './connect-client.ts';
export type { PolicyCalls } from './policy-calls.ts';
export type { PrepareOptions, PrepareResult } from './prepare.ts';
export type { QGradOptions, QGradResult } from './q-grad.ts';
export type { ModelSelection } from './request.ts';
export { type Tensor, type TensorLike, toTensor } from './tensor.ts';
