/** Requests and results of acting, to and from messages; shared by single calls and streams. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  type ActRequestSchema,
  type ActResponse,
  type AdaptResponse,
  Fallback,
  type QGradResponse,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { fromTensorMessage, type Tensor, type TensorLike, tensorFields, toTensor } from './tensor.ts';

/** Which model and version; the newest version that is ready where neither version nor label is given. */
export type ModelSelection = {
  readonly model: string;
  readonly version?: number;
  readonly label?: string;
};

export type RequestCommon = ModelSelection & {
  /** Refused where it is not the model's. */
  readonly fingerprint?: string;
  readonly clientId?: string;
  /** Any number; the response has it again. */
  readonly sequence?: bigint;
};

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
  /** Time to answer in from when the server has the message, microseconds. */
  readonly budgetUs?: number;
  /** What to answer when the budget is over or the timeout would be: `error` unless given. `hold` needs `clientId`. */
  readonly fallback?: 'error' | 'safe' | 'hold';
};

export type ActResult = {
  /** [B, A], within the bounds of the action spec. */
  readonly action: Tensor;
  /** [B]; present where asked for. */
  readonly logProb: Tensor | undefined;
  /** The seed used; present for samples. */
  readonly seed: number | undefined;
  /** Present where the action stands in for one that was not there in time. */
  readonly fallback: { readonly kind: 'safe' | 'hold'; readonly reason: string; readonly ageMs: number } | undefined;
} & ResponseCommon;

export type ResponseCommon = {
  /** The version that answered. */
  readonly version: number;
  /** Time since it was published. */
  readonly weightAgeMs: number;
  readonly sequence: bigint;
  /** Where the server spent the time, microseconds. */
  readonly timing: NonNullable<ActResponse['timing']>;
};

const fallbacks = { error: Fallback.ERROR, safe: Fallback.SAFE, hold: Fallback.HOLD } as const;

type GivenContext = { readonly context?: TensorLike; readonly contextHandle?: string };

/** The context of a request, or the handle in its place. */
export function contextFields({ context, contextHandle }: GivenContext) {
  if (contextHandle !== undefined) return { contextSource: { case: 'contextHandle' as const, value: contextHandle } };
  if (context === undefined) return {};
  return { contextSource: { case: 'context' as const, value: tensorFields(toTensor('context', context)) } };
}

/** The fields of a request's message. */
export function actFields(given: ActOptions): MessageInitShape<typeof ActRequestSchema> {
  const { observation, sample = false, seed, logProb = false, budgetUs = 0, fallback } = given;
  return {
    ...commonFields(given),
    observation: tensorFields(toTensor('observation', observation)),
    ...contextFields(given),
    sample,
    ...(seed !== undefined && { seed: BigInt(seed) }),
    logProb,
    budgetUs,
    fallback: fallback === undefined ? Fallback.UNSPECIFIED : fallbacks[fallback],
  };
}

export const actResult = (response: ActResponse): ActResult => ({
  action: fromTensorMessage(response.action),
  logProb: response.logProb && fromTensorMessage(response.logProb),
  seed: response.seed === undefined ? undefined : Number(response.seed),
  fallback: response.fallbackTaken && {
    kind: response.fallbackTaken.fallback === Fallback.HOLD ? 'hold' : 'safe',
    reason: response.fallbackTaken.reason,
    ageMs: response.fallbackTaken.ageMs,
  },
  ...commonResult(response),
});

type Selected =
  | { readonly case: 'version'; readonly value: number }
  | { readonly case: 'label'; readonly value: string }
  | { readonly case: undefined };

export function selectionFields({ model, version, label }: ModelSelection): { model: string; selection: Selected } {
  const selection: Selected =
    version !== undefined
      ? { case: 'version', value: version }
      : label !== undefined
        ? { case: 'label', value: label }
        : { case: undefined };
  return { model, selection };
}

export const commonFields = (given: RequestCommon) => ({
  ...selectionFields(given),
  fingerprint: given.fingerprint ?? '',
  clientId: given.clientId ?? '',
  sequence: given.sequence ?? 0n,
});

export const commonResult = ({
  version,
  weightAgeMs,
  sequence,
  timing,
}: ActResponse | AdaptResponse | QGradResponse): ResponseCommon => ({
  version,
  weightAgeMs,
  sequence,
  timing: timing!,
});
