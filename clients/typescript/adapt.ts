/** Requests and results of adapting, to and from messages. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { AdaptRequestSchema, AdaptResponse } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { commonFields, commonResult, contextFields, type RequestCommon, type ResponseCommon } from './act.ts';
import { fromTensorMessage, type Tensor, type TensorLike, tensorFields, toTensor } from './tensor.ts';

/** N steps of one task; none at all where a posterior may begin with its prior. */
export type AdaptOptions = RequestCommon & {
  /** What was observed before each action, [N, O]. */
  readonly observation?: TensorLike;
  /** The actions that were taken, [N, A]. */
  readonly action?: TensorLike;
  /** What the environment paid for each, [N]. */
  readonly reward?: TensorLike;
  /** Models that adapt weights: steps of each episode; one episode where absent. */
  readonly episodeLengths?: readonly number[];
  /** Models that adapt weights: where to begin, [C]. */
  readonly context?: TensorLike;
  /** What to go on from, instead of `context`. It stays as it is. */
  readonly contextHandle?: string;
  /** Of the context that is drawn, an integer in [0, 2^53); drawn by the server where absent. */
  readonly seed?: number;
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
        readonly seed: number;
        readonly transitionCount: number;
      }
    | undefined;
  /** Models that adapt weights: steps so far, and how far the last one moved. */
  readonly weights: { readonly stepCount: number; readonly stepNorm: number } | undefined;
} & ResponseCommon;

/** The fields of a request's message. */
export function adaptFields(given: AdaptOptions): MessageInitShape<typeof AdaptRequestSchema> {
  const { observation, action, reward, episodeLengths = [], seed } = given;
  const tensor = (name: string, value: TensorLike) => tensorFields(toTensor(name, value));
  return {
    ...commonFields(given),
    ...(observation !== undefined && { observation: tensor('observation', observation) }),
    ...(action !== undefined && { action: tensor('action', action) }),
    ...(reward !== undefined && { reward: tensor('reward', reward) }),
    episodeLengths: [...episodeLengths],
    ...contextFields(given),
    ...(seed !== undefined && { seed: BigInt(seed) }),
  };
}

export function adaptResult(response: AdaptResponse): AdaptResult {
  const { contextHandle, expiresAfterMs, result } = response;
  return {
    contextHandle,
    expiresAfterMs,
    posterior:
      result.case === 'posterior'
        ? {
            mean: fromTensorMessage(result.value.mean),
            variance: fromTensorMessage(result.value.variance),
            context: fromTensorMessage(result.value.context),
            seed: Number(result.value.seed),
            transitionCount: Number(result.value.transitionCount),
          }
        : undefined,
    weights:
      result.case === 'weights' ? { stepCount: result.value.stepCount, stepNorm: result.value.stepNorm } : undefined,
    ...commonResult(response),
  };
}
