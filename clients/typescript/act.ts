/** Requests and results of acting, to and from messages; shared by single calls and streams. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { invalidArgument } from '../../src/contract/errors.ts';
import { fallbacks } from '../../src/contract/words.ts';
import { type ActRequestSchema, type ActResponse, Fallback } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkBoolean, checkChoice, checkInteger, checkOptions } from './checks.ts';
import { checkHead, receivedTensor, type Sender } from './received.ts';
import {
  checkSeed,
  commonFields,
  commonNames,
  contextField,
  givenTensor,
  type RequestCommon,
  type ResponseCommon,
} from './request.ts';
import type { Tensor, TensorLike } from './tensor.ts';

export type ActOptions = RequestCommon & {
  /** [B, O] or [O]. */
  readonly observation: TensorLike;
  /** One for all rows, [C] or [1, C], or one per row, [B, C]; required by models with a context. */
  readonly context?: TensorLike;
  /** A context that the server holds, instead of `context`. */
  readonly contextHandle?: string;
  /** A sample instead of the deterministic action. */
  readonly sample?: boolean;
  /** Of the sample, an integer in [0, 2^53); drawn by the server where absent. */
  readonly seed?: number;
  readonly logProb?: boolean;
  /** Time to answer in from when the server has the message, microseconds; an integer in [0, 2^32), 0 is none. */
  readonly budgetUs?: number;
  /**
   * What to answer when the budget is over or the timeout would be: `error` unless given. `hold` needs `clientId`. Where the server
   * gives no answer at all, the client answers by the same rule.
   */
  readonly fallback?: 'error' | 'safe' | 'hold';
};

/** Why an action stands in. Of the server: its time or its queue; of the client: no answer in time, no server, an old answer. */
export type FallbackReason = 'budget' | 'deadline' | 'overload' | 'timeout' | 'unavailable' | 'age';

export type ActResult = {
  /** [B, A], within the bounds of the action spec. */
  readonly action: Tensor;
  /** [B]; present where asked for. */
  readonly logProb: Tensor | undefined;
  /** The seed used; present for samples. */
  readonly seed: number | undefined;
  /** Present where the action stands in for one that was not there in time. */
  readonly fallback:
    | { readonly kind: 'safe' | 'hold'; readonly reason: FallbackReason; readonly ageMs: number }
    | undefined;
} & ResponseCommon;

/** What a message carries. */
export const budgetUsMax = 2 ** 32 - 1;

export const actNames = [
  ...commonNames,
  'observation',
  'context',
  'contextHandle',
  'sample',
  'seed',
  'logProb',
  'budgetUs',
  'fallback',
] as const satisfies readonly (keyof ActOptions)[];

/** The fields of a request's message. @throws HyperpolicyError invalid_argument naming the argument */
export function actFields(where: string, given: ActOptions): ActFields {
  checkOptions(where, given, actNames);
  const fields = actInputs(where, given);
  const { model, selection, fingerprint, clientId, sequence } = commonFields(where, given);
  checkHold(where, given.fallback, clientId);
  fields.model = model;
  fields.selection = selection;
  fields.fingerprint = fingerprint;
  fields.clientId = clientId;
  fields.sequence = sequence;
  return fields;
}

export type ActFields = MessageInitShape<typeof ActRequestSchema> & {
  readonly observation: ReturnType<typeof givenTensor>;
};

/**
 * The fields that every request of a stream has of its own, and the others as what is not given. In one object of one class: the engine
 * takes 3 us and more for one that is spread from others.
 */
export function actInputs(
  where: string,
  given: Omit<ActOptions, 'model'>,
  budgetUs: number = given.budgetUs ?? 0,
): ActFields {
  const { observation, sample = false, seed, logProb = false, fallback } = given;
  checkBoolean(`${where} sample`, sample);
  checkBoolean(`${where} logProb`, logProb);
  checkSeed(where, seed);
  checkBudget(where, budgetUs);
  if (fallback !== undefined) checkChoice(`${where} fallback`, fallback, Object.keys(fallbacks));
  return {
    model: '',
    selection: { case: undefined },
    fingerprint: '',
    clientId: '',
    sequence: 0n,
    observation: givenTensor(where, 'observation', observation),
    contextSource: contextField(where, given),
    sample,
    seed: seed === undefined ? undefined : BigInt(seed),
    logProb,
    budgetUs,
    fallback: fallback === undefined ? Fallback.UNSPECIFIED : fallbacks[fallback],
  };
}

export function checkBudget(where: string, budgetUs: unknown = 0): void {
  checkInteger(`${where} budgetUs`, budgetUs, 0, budgetUsMax);
}

/**
 * Actions are held by client: those of two robots without a name would be one. The server says the same, but is not there when a client
 * stands in for it.
 */
export function checkHold(where: string, fallback: ActOptions['fallback'], clientId = ''): void {
  if (fallback !== 'hold' || clientId !== '') return;
  throw invalidArgument({
    where: `${where} fallback`,
    expected: 'a clientId with hold',
    actual: 'none',
    remedy: 'Name the client, or use safe',
  });
}

/**
 * @param rows of the request
 * @throws HyperpolicyError failed_precondition where the response cannot be acted on
 */
export function actResult(from: Sender, response: ActResponse, rows: number): ActResult {
  const { action, logProb, seed, fallbackTaken } = response;
  return {
    action: receivedTensor(from, 'action', action, { rank: 2, rows }),
    logProb: logProb && receivedTensor(from, 'log_prob', logProb, { rank: 1, rows }),
    seed: seed === undefined ? undefined : Number(seed),
    fallback: fallbackTaken && {
      kind: fallbackTaken.fallback === Fallback.HOLD ? 'hold' : 'safe',
      reason: fallbackTaken.reason as FallbackReason,
      ageMs: fallbackTaken.ageMs,
    },
    version: response.version,
    weightAgeMs: response.weightAgeMs,
    sequence: response.sequence,
    timing: checkHead(from, response),
  };
}
