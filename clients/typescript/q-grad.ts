/** Requests and results of values with their action-gradients, to and from messages. */

import { reductions } from '../../src/contract/words.ts';
import type { QGradResponse } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkChoice, checkInteger, checkNumber, checkOptions } from './checks.ts';
import { receivedTensor, type Sender } from './received.ts';
import {
  commonFields,
  commonNames,
  commonResult,
  contextField,
  givenTensor,
  type RequestCommon,
  type ResponseCommon,
} from './request.ts';
import type { Tensor, TensorLike } from './tensor.ts';

export type QGradOptions = RequestCommon & {
  /** [B, O], or one for all actions, [O] or [1, O]. */
  readonly observation: TensorLike;
  /** [B, A] or [A]. */
  readonly action: TensorLike;
  /** One for all rows, [C] or [1, C], or one per row, [B, C]; required where the critic takes a context. */
  readonly context?: TensorLike;
  /** A context that the server holds, instead of `context`. */
  readonly contextHandle?: string;
  /** How twins become one value: `min` unless given. */
  readonly reduction?: 'q1' | 'min' | 'mean';
  /** Climb from the actions first: steps of action <- clip(action + stepSize dq/da). */
  readonly ascent?: { readonly stepCount: number; readonly stepSize: number };
};

export type QGradResult = {
  readonly q: Tensor; // [B]
  readonly dqDa: Tensor; // [B, A]
  /** Where the ascent ended, [B, A]; present where one was asked for. */
  readonly action: Tensor | undefined;
} & ResponseCommon;

const names = [
  ...commonNames,
  'observation',
  'action',
  'context',
  'contextHandle',
  'reduction',
  'ascent',
] as const satisfies readonly (keyof QGradOptions)[];

/** The fields of a request's message. @throws HyperpolicyError invalid_argument naming the argument */
export function qGradFields(where: string, given: QGradOptions) {
  checkOptions(where, given, names);
  const { observation, action, reduction = 'min', ascent } = given;
  checkChoice(`${where} reduction`, reduction, Object.keys(reductions));
  if (ascent !== undefined) {
    checkOptions(`${where} ascent`, ascent, ['stepCount', 'stepSize']);
    checkInteger(`${where} ascent.stepCount`, ascent.stepCount, 0, 2 ** 32 - 1);
    checkNumber(`${where} ascent.stepSize`, ascent.stepSize);
  }
  return {
    ...commonFields(where, given),
    observation: givenTensor(where, 'observation', observation),
    action: givenTensor(where, 'action', action),
    contextSource: contextField(where, given),
    reduction: reductions[reduction],
    ...(ascent !== undefined && { ascent }),
  };
}

/**
 * @param rows of the request
 * @throws HyperpolicyError failed_precondition where the response does not add up
 */
export function qGradResult(from: Sender, response: QGradResponse, rows: number): QGradResult {
  const { q, dqDa, action } = response;
  return {
    q: receivedTensor(from, 'q', q, { rank: 1, rows }),
    dqDa: receivedTensor(from, 'dq_da', dqDa, { rank: 2, rows }),
    action: action && receivedTensor(from, 'action', action, { rank: 2, rows }),
    ...commonResult(from, response),
  };
}
