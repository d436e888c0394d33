/** Requests and results of making weights ahead, to and from messages. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { pinnings } from '../../src/contract/words.ts';
import {
  Pinning,
  type PrepareRequestSchema,
  type PrepareResponse,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkChoice, checkOneOf, checkOptions } from './checks.ts';
import { type Sender, unusable } from './received.ts';
import { commonFields, givenTensor, type ModelSelection, selectionNames } from './request.ts';
import type { TensorLike } from './tensor.ts';

export type PrepareOptions = ModelSelection & {
  readonly fingerprint?: string;
  readonly clientId?: string;
  /** Contexts of a hyper policy, [K, C] or [C]. */
  readonly context?: TensorLike;
  /** Observations of a hyper critic, [K, O] or [O]; instead of `context`. */
  readonly observation?: TensorLike;
  /** `pin` keeps the weights until they are unpinned or their version is gone. */
  readonly pinning?: 'pin' | 'unpin';
};

export type PrepareResult = { readonly version: number; readonly count: number; readonly generatedCount: number };

const names = [
  ...selectionNames,
  'fingerprint',
  'clientId',
  'context',
  'observation',
  'pinning',
] as const satisfies readonly (keyof PrepareOptions)[];

/** The fields of a request's message. @throws HyperpolicyError invalid_argument naming the argument */
export function prepareFields(where: string, given: PrepareOptions): MessageInitShape<typeof PrepareRequestSchema> {
  checkOptions(where, given, names);
  checkOneOf(where, given, ['context', 'observation']);
  const { context, observation, pinning } = given;
  if (pinning !== undefined) checkChoice(`${where} pinning`, pinning, Object.keys(pinnings));
  const { model, selection, fingerprint, clientId } = commonFields(where, given);
  const name: 'observation' | 'context' = context === undefined ? 'observation' : 'context';
  const target = context ?? observation;
  return {
    model,
    selection,
    fingerprint,
    clientId,
    ...(target !== undefined && { target: { case: name, value: givenTensor(where, name, target) } }),
    pinning: pinning === undefined ? Pinning.UNSPECIFIED : pinnings[pinning],
  };
}

/** @throws HyperpolicyError failed_precondition for an empty message */
export function prepareResult(from: Sender, { version, count, generatedCount }: PrepareResponse): PrepareResult {
  if (version === 0 || count === 0) throw unusable(from, 'a response without version and count');
  return { version, count, generatedCount };
}
