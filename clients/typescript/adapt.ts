/** Requests and results of adapting, to and from messages. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { invalidArgument } from '../../src/contract/errors.ts';
import type { AdaptRequestSchema, AdaptResponse } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkBoolean, checkInteger, checkOptions, shown } from './checks.ts';
import { receivedTensor, type Sender, unusable } from './received.ts';
import {
  checkSeed,
  commonFields,
  commonNames,
  commonResult,
  contextField,
  givenTensor,
  type RequestCommon,
  type ResponseCommon,
} from './request.ts';
import type { Tensor, TensorLike } from './tensor.ts';

/** N steps of one task; none at all where a posterior may begin with its prior. */
export type AdaptOptions = RequestCommon & {
  /** What was observed before each action, [N, O]. */
  readonly observation?: TensorLike;
  /** The actions that were taken, [N, A]. */
  readonly action?: TensorLike;
  /** What the environment paid for each, [N]. */
  readonly reward?: TensorLike;
  /** What was observed after each action, [N, O]: where `getModel` says `readsNextObservation`. */
  readonly nextObservation?: TensorLike;
  /** Models that adapt weights: steps of each episode; one episode where absent. */
  readonly episodeLengths?: readonly number[];
  /** Models that adapt weights: where to begin, [C]. */
  readonly context?: TensorLike;
  /** What to go on from, instead of `context`. It stays as it is. */
  readonly contextHandle?: string;
  /** Of the context that is drawn, an integer in [0, 2^53); drawn by the server where absent. */
  readonly seed?: number;
  /** The posterior's mean in place of a context that is drawn. */
  readonly useMean?: boolean;
};

export type AdaptResult = {
  /** Stands for the result in `act`, `actStream`, `qGrad` and `adapt`. */
  readonly contextHandle: string;
  /** The handle is forgotten when it was not used for so long. */
  readonly expiresAfterMs: number;
  /** Models that infer a latent context. */
  readonly posterior:
    | {
        readonly mean: Tensor; // [C]
        readonly variance: Tensor; // [C]
        /** Drawn from the two; what the handle stands for. */
        readonly context: Tensor; // [C]
        /** 0 where nothing was drawn. */
        readonly seed: number;
        readonly transitionCount: number;
      }
    | undefined;
  /** Models that adapt weights: steps so far, and how far the last one moved. */
  readonly weights: { readonly stepCount: number; readonly stepNorm: number } | undefined;
} & ResponseCommon;

const names = [
  ...commonNames,
  'observation',
  'action',
  'reward',
  'nextObservation',
  'episodeLengths',
  'context',
  'contextHandle',
  'seed',
  'useMean',
] as const satisfies readonly (keyof AdaptOptions)[];

/** The fields of a request's message. @throws HyperpolicyError invalid_argument naming the argument */
export function adaptFields(where: string, given: AdaptOptions): MessageInitShape<typeof AdaptRequestSchema> {
  checkOptions(where, given, names);
  const { observation, action, reward, nextObservation, episodeLengths = [], seed, useMean } = given;
  checkSeed(where, seed);
  if (useMean !== undefined) checkBoolean(`${where} useMean`, useMean);
  if (!Array.isArray(episodeLengths)) {
    const actual = shown(episodeLengths);
    throw invalidArgument({ where: `${where} episodeLengths`, expected: 'an array of counts', actual });
  }
  for (const [i, length] of episodeLengths.entries()) {
    checkInteger(`${where} episodeLengths[${i}]`, length, 1, 2 ** 32 - 1);
  }
  return {
    ...commonFields(where, given),
    ...(observation !== undefined && { observation: givenTensor(where, 'observation', observation) }),
    ...(action !== undefined && { action: givenTensor(where, 'action', action) }),
    ...(reward !== undefined && { reward: givenTensor(where, 'reward', reward) }),
    ...(nextObservation !== undefined && {
      nextObservation: givenTensor(where, 'nextObservation', nextObservation),
    }),
    episodeLengths: [...episodeLengths],
    contextSource: contextField(where, given),
    ...(seed !== undefined && { seed: BigInt(seed) }),
    ...(useMean !== undefined && { useMean }),
  };
}

/** @throws HyperpolicyError failed_precondition where the response is not whole */
export function adaptResult(from: Sender, response: AdaptResponse): AdaptResult {
  const { contextHandle, expiresAfterMs, result } = response;
  if (!/^[0-9a-f]{32}$/.test(contextHandle)) throw unusable(from, 'a response without context_handle');
  const row = { rank: 1 } as const;
  if (result.case === undefined) throw unusable(from, 'a response without posterior or weights');
  return {
    contextHandle,
    expiresAfterMs,
    posterior:
      result.case === 'posterior'
        ? {
            mean: receivedTensor(from, 'mean', result.value.mean, row),
            variance: receivedTensor(from, 'variance', result.value.variance, row),
            context: receivedTensor(from, 'context', result.value.context, row),
            seed: Number(result.value.seed),
            transitionCount: Number(result.value.transitionCount),
          }
        : undefined,
    weights:
      result.case === 'weights' ? { stepCount: result.value.stepCount, stepNorm: result.value.stepNorm } : undefined,
    ...commonResult(from, response),
  };
}
