/**
 * The TypeScript client of the policy service: typed calls with deadlines, over one connection.
 *
 * Defaults are those of every client here: 5 s per call, messages up to 4 MiB, no transport security.
 */

import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import {
  type GetModelResponse,
  type ListModelsResponse,
  Pinning,
  PolicyService,
  type PrepareRequestSchema,
  Reduction,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import {
  type ActOptions,
  type ActResult,
  actFields,
  actResult,
  commonFields,
  commonResult,
  contextFields,
  type ModelSelection,
  type RequestCommon,
  type ResponseCommon,
  selectionFields,
} from './act.ts';
import { type ActStream, type ActStreamOptions, openActStream } from './act-stream.ts';
import { type AdaptOptions, type AdaptResult, adaptFields, adaptResult } from './adapt.ts';
import { type ConnectionOptions, createConnection } from './connection.ts';
import { fromTensorMessage, type Tensor, type TensorLike, tensorFields, toTensor } from './tensor.ts';
import { type CallOptions, callUnary } from './unary.ts';

export type PolicyClientOptions = ConnectionOptions & {
  /** For calls that name no timeout of their own, milliseconds. */
  readonly timeoutMs?: number;
};

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

export type PolicyClient = {
  readonly address: string;
  act(options: ActOptions, call?: CallOptions): Promise<ActResult>;
  /** Opens a stream of requests to one model: the fastest way for a control loop. */
  actStream(options: ActStreamOptions): ActStream;
  qGrad(options: QGradOptions, call?: CallOptions): Promise<QGradResult>;
  /** Adapts a model to experience; the server holds the result. */
  adapt(options: AdaptOptions, call?: CallOptions): Promise<AdaptResult>;
  /** Makes weights ahead of the requests that will need them. */
  prepare(options: PrepareOptions, call?: CallOptions): Promise<PrepareResult>;
  listModels(call?: CallOptions): Promise<ListModelsResponse['models']>;
  getModel(selection: ModelSelection, call?: CallOptions): Promise<GetModelResponse>;
  /** Ends the connection; calls in flight fail. */
  close(): void;
};

const defaultTimeoutMs = 5000;

const reductions = { q1: Reduction.Q1, min: Reduction.MIN, mean: Reduction.MEAN } as const;

/**
 * A client of one server. It connects at the first call, and again after a connection was lost.
 *
 * Every method throws HyperpolicyError with the kind and text of the server's error; `unavailable` where there is no server and
 * `deadline_exceeded` where it did not answer in time; and a plain Error for an internal fault.
 */
export function createPolicyClient(options: PolicyClientOptions): PolicyClient {
  const { address, timeoutMs = defaultTimeoutMs } = options;
  const connection = createConnection(options);
  const call = <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    callOptions: CallOptions = {},
  ) => callUnary(connection, method, request, { timeoutMs, ...callOptions });
  const { act, qGrad, adapt, prepare, listModels, getModel } = PolicyService.method;

  return {
    address,
    act: async (given, callOptions) => actResult(await call(act, actFields(given), callOptions)),
    actStream: (given) => openActStream(connection, given),
    async qGrad(given, callOptions) {
      const response = await call(
        qGrad,
        {
          ...commonFields(given),
          observation: tensorFields(toTensor('observation', given.observation)),
          action: tensorFields(toTensor('action', given.action)),
          ...contextFields(given),
          reduction: reductions[given.reduction ?? 'min'],
          ...(given.ascent && { ascent: given.ascent }),
        },
        callOptions,
      );
      return {
        q: fromTensorMessage(response.q),
        dqDa: fromTensorMessage(response.dqDa),
        action: response.action && fromTensorMessage(response.action),
        ...commonResult(response),
      };
    },
    adapt: async (given, callOptions) => adaptResult(await call(adapt, adaptFields(given), callOptions)),
    prepare: (given, callOptions) => call(prepare, prepareFields(given), callOptions),
    listModels: async (callOptions) => (await call(listModels, {}, callOptions)).models,
    getModel: (selection, callOptions) => call(getModel, selectionFields(selection), callOptions),
    close: () => connection.client.close(),
  };
}

const pinnings = { pin: Pinning.PIN, unpin: Pinning.UNPIN } as const;

function prepareFields(given: PrepareOptions): MessageInitShape<typeof PrepareRequestSchema> {
  const { context, observation, fingerprint = '', clientId = '', pinning } = given;
  return {
    ...selectionFields(given),
    fingerprint,
    clientId,
    ...(context !== undefined && {
      target: { case: 'context' as const, value: tensorFields(toTensor('context', context)) },
    }),
    ...(observation !== undefined && {
      target: { case: 'observation' as const, value: tensorFields(toTensor('observation', observation)) },
    }),
    pinning: pinning === undefined ? Pinning.UNSPECIFIED : pinnings[pinning],
  };
}
