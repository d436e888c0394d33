/**
 * The TypeScript client of the policy service: typed calls with deadlines, over one connection.
 *
 * Defaults are those of every client here: 5 s per call, messages up to 4 MiB, no transport security.
 */

import {
  create,
  type DescMessage,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import {
  type ActResponse,
  type GetModelResponse,
  type ListModelsResponse,
  PolicyService,
  type QGradResponse,
  Reduction,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { toClientError } from './errors.ts';
import { fromTensorMessage, type Tensor, type TensorLike, tensorFields, toTensor } from './tensor.ts';

export type PolicyClientOptions = {
  /** `host:port`. */
  readonly address: string;
  /** For calls that name no timeout of their own, milliseconds. */
  readonly timeoutMs?: number;
  readonly messageBytesMax?: number;
};

/** Which model and version; the newest version that is ready where neither version nor label is given. */
export type ModelSelection = {
  readonly model: string;
  readonly version?: number;
  readonly label?: string;
};

export type CallOptions = {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
};

type RequestCommon = ModelSelection & {
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
};

export type ActResult = {
  /** [B, A], within the bounds of the action spec. */
  readonly action: Tensor;
  /** [B]; present where asked for. */
  readonly logProb: Tensor | undefined;
  /** The seed used; present for samples. */
  readonly seed: number | undefined;
} & ResponseCommon;

export type QGradOptions = RequestCommon & {
  /** [B, O], or one for all actions, [O] or [1, O]. */
  readonly observation: TensorLike;
  /** [B, A] or [A]. */
  readonly action: TensorLike;
  /** How twins become one value: `min` unless given. */
  readonly reduction?: 'q1' | 'min' | 'mean';
};

export type QGradResult = {
  readonly q: Tensor; // [B]
  readonly dqDa: Tensor; // [B, A]
} & ResponseCommon;

type ResponseCommon = {
  /** The version that answered. */
  readonly version: number;
  /** Time since it was published. */
  readonly weightAgeMs: number;
  readonly sequence: bigint;
  /** Where the server spent the time, microseconds. */
  readonly timing: NonNullable<ActResponse['timing']>;
};

export type PolicyClient = {
  readonly address: string;
  act(options: ActOptions, call?: CallOptions): Promise<ActResult>;
  qGrad(options: QGradOptions, call?: CallOptions): Promise<QGradResult>;
  listModels(call?: CallOptions): Promise<ListModelsResponse['models']>;
  getModel(selection: ModelSelection, call?: CallOptions): Promise<GetModelResponse>;
  /** Ends the connection; calls in flight fail. */
  close(): void;
};

const defaultTimeoutMs = 5000;
const defaultMessageBytesMax = 4 * 1024 * 1024;

const reductions = { q1: Reduction.Q1, min: Reduction.MIN, mean: Reduction.MEAN } as const;

/**
 * A client of one server. It connects at the first call, and again after a connection was lost.
 *
 * Every method throws HyperpolicyError with the kind and text of the server's error; `unavailable` where there is no server and
 * `deadline_exceeded` where it did not answer in time; and a plain Error for an internal fault.
 */
export function createPolicyClient(options: PolicyClientOptions): PolicyClient {
  const { address, timeoutMs = defaultTimeoutMs, messageBytesMax = defaultMessageBytesMax } = options;
  const connection = new grpc.Client(address, grpc.credentials.createInsecure(), {
    'grpc.max_receive_message_length': messageBytesMax,
    'grpc.max_send_message_length': messageBytesMax,
    'grpc.enable_channelz': 0,
  });
  const call = <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    callOptions: CallOptions = {},
  ) => callUnary(connection, method, request, { address, timeoutMs, ...callOptions });
  const { act, qGrad, listModels, getModel } = PolicyService.method;

  return {
    address,
    async act(given, callOptions) {
      const { observation, context, contextHandle, sample = false, seed, logProb = false } = given;
      const response = await call(
        act,
        {
          ...commonFields(given),
          observation: tensorFields(toTensor('observation', observation)),
          ...(context !== undefined && {
            contextSource: { case: 'context', value: tensorFields(toTensor('context', context)) },
          }),
          ...(contextHandle !== undefined && { contextSource: { case: 'contextHandle', value: contextHandle } }),
          sample,
          ...(seed !== undefined && { seed: BigInt(seed) }),
          logProb,
        },
        callOptions,
      );
      return {
        action: fromTensorMessage(response.action),
        logProb: response.logProb && fromTensorMessage(response.logProb),
        seed: response.seed === undefined ? undefined : Number(response.seed),
        ...commonResult(response),
      };
    },
    async qGrad(given, callOptions) {
      const response = await call(
        qGrad,
        {
          ...commonFields(given),
          observation: tensorFields(toTensor('observation', given.observation)),
          action: tensorFields(toTensor('action', given.action)),
          reduction: reductions[given.reduction ?? 'min'],
        },
        callOptions,
      );
      return { q: fromTensorMessage(response.q), dqDa: fromTensorMessage(response.dqDa), ...commonResult(response) };
    },
    listModels: async (callOptions) => (await call(listModels, {}, callOptions)).models,
    getModel: (selection, callOptions) => call(getModel, selectionFields(selection), callOptions),
    close: () => connection.close(),
  };
}

type Selected =
  | { readonly case: 'version'; readonly value: number }
  | { readonly case: 'label'; readonly value: string }
  | { readonly case: undefined };

function selectionFields({ model, version, label }: ModelSelection): { model: string; selection: Selected } {
  const selection: Selected =
    version !== undefined
      ? { case: 'version', value: version }
      : label !== undefined
        ? { case: 'label', value: label }
        : { case: undefined };
  return { model, selection };
}

const commonFields = (given: RequestCommon) => ({
  ...selectionFields(given),
  fingerprint: given.fingerprint ?? '',
  clientId: given.clientId ?? '',
  sequence: given.sequence ?? 0n,
});

const commonResult = ({ version, weightAgeMs, sequence, timing }: ActResponse | QGradResponse): ResponseCommon => ({
  version,
  weightAgeMs,
  sequence,
  timing: timing!,
});

type Called = { readonly address: string; readonly timeoutMs: number; readonly signal?: AbortSignal };

function callUnary<I extends DescMessage, O extends DescMessage>(
  connection: grpc.Client,
  { parent, name, input, output }: DescMethodUnary<I, O>,
  request: MessageInitShape<I>,
  { address, timeoutMs, signal }: Called,
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const abort = () => {
      pending.cancel();
      reject(signal?.reason);
    };
    const pending = connection.makeUnaryRequest(
      `/${parent.typeName}/${name}`,
      // grpc-js frames messages with methods of Buffer.
      ({ buffer, byteOffset, byteLength }: Uint8Array) => Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength),
      (bytes: Buffer) => bytes,
      toBinary(input, create(input, request)),
      new grpc.Metadata(),
      { deadline: Date.now() + timeoutMs },
      (error, bytes) => {
        signal?.removeEventListener('abort', abort);
        if (error !== null) reject(toClientError(error, { address, method: name, timeoutMs }));
        else resolve(fromBinary(output, bytes!));
      },
    );
    signal?.addEventListener('abort', abort, { once: true });
  });
}
