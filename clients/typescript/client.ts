/**
 * The TypeScript client of the policy service: typed calls with deadlines, over one connection.
 *
 * Defaults are those of every client here, in the README beside: 5 s per call, messages up to 4 MiB, no transport security.
 */

import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import {
  type GetModelResponse,
  type ListModelsResponse,
  PolicyService,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type ActOptions, type ActResult, actFields, actResult } from './act.ts';
import { type ActStream, openActStream } from './act-stream.ts';
import type { ActStreamOptions } from './act-stream-options.ts';
import { type AdaptOptions, type AdaptResult, adaptFields, adaptResult } from './adapt.ts';
import { checkOptions, checkTime } from './checks.ts';
import { type ConnectionOptions, connectionOptionNames, createConnection } from './connection.ts';
import { lateError, oldError } from './errors.ts';
import { type PrepareOptions, type PrepareResult, prepareFields, prepareResult } from './prepare.ts';
import { type QGradOptions, type QGradResult, qGradFields, qGradResult } from './q-grad.ts';
import { checkDescription } from './received.ts';
import { type ModelSelection, routingKeyOf, rowCountOf, selectionFields, selectionNames } from './request.ts';
import { createStandIns, reasonOf } from './stand-ins.ts';
import { type CallOptions, callUnary, checkCallOptions } from './unary.ts';

export type PolicyClientOptions = ConnectionOptions & {
  /** For calls that name no timeout of their own, milliseconds: 5000 unless given. Requests of streams: see `StreamedActCall`. */
  readonly timeoutMs?: number;
};

export type ActCallOptions = CallOptions & {
  /**
   * Oldest action that is returned, milliseconds: of a fresh one from the call on, of a held one from when it was fresh. An older one is
   * replaced by the fallback (of `hold` by `safe`), or refused. No limit unless given.
   */
  readonly ageMsMax?: number;
};

export type PolicyClient = {
  readonly address: string;
  act(options: ActOptions, call?: ActCallOptions): Promise<ActResult>;
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

/**
 * A client of one server. It connects at the first call, and again after a connection was lost.
 *
 * Every method rejects with HyperpolicyError: `invalid_argument` for what it was given, before anything is sent; the kind and text of
 * the server's error; `unavailable` where there is no server, `deadline_exceeded` where it did not answer in time, `cancelled` where the
 * client was closed, `failed_precondition` for a response that does not add up; and with a plain Error for an internal fault.
 * @throws HyperpolicyError invalid_argument naming the option
 */
export function createPolicyClient(options: PolicyClientOptions): PolicyClient {
  const where = 'createPolicyClient';
  checkOptions(where, options, [...connectionOptionNames, 'timeoutMs']);
  const { address, timeoutMs: toldTimeoutMs } = options;
  if (toldTimeoutMs !== undefined) checkTime(`${where} timeoutMs`, toldTimeoutMs);
  const timeoutMs = toldTimeoutMs ?? defaultTimeoutMs;
  const connection = createConnection(where, options);
  const call = <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    callOptions: CallOptions = {},
    routingKey?: string,
  ) => {
    checkCallOptions(method.name, callOptions);
    return callUnary(connection, method, request, {
      ...callOptions,
      timeoutMs: callOptions.timeoutMs ?? timeoutMs,
      routingKey,
    });
  };
  const { act, qGrad, adapt, prepare, listModels, getModel } = PolicyService.method;
  const from = ({ name }: { readonly name: string }) => ({ method: name, address });

  async function describe(selection: ModelSelection, callOptions?: CallOptions): Promise<GetModelResponse> {
    checkOptions(getModel.name, selection, selectionNames);
    return checkDescription(
      from(getModel),
      await call(getModel, selectionFields(getModel.name, selection), callOptions),
    );
  }
  const standIns = createStandIns(describe);

  async function actOrStandIn(given: ActOptions, actOptions: ActCallOptions): Promise<ActResult> {
    const fields = actFields(act.name, given);
    checkCallOptions(act.name, actOptions, ['ageMsMax']);
    const { ageMsMax, ...callOptions } = actOptions;
    if (ageMsMax !== undefined) checkTime(`${act.name} ageMsMax`, ageMsMax);
    const { fallback, clientId = '', sequence = 0n } = given;
    const { model, version, label } = given;
    const of = {
      selection: { model, ...(version !== undefined && { version }), ...(label !== undefined && { label }) },
      clientId,
      rows: rowCountOf(fields.observation),
      sequence,
      fallback,
      ageMsMax: ageMsMax ?? Number.POSITIVE_INFINITY,
    };
    if (fallback !== undefined && fallback !== 'error') standIns.learn(of.selection);
    const startMs = performance.now();
    try {
      const result = actResult(from(act), await call(act, fields, callOptions, routingKeyOf(given)), of.rows);
      const tookMs = performance.now() - startMs;
      if (result.fallback === undefined) standIns.keep(of, result, tookMs);
      const waitMs = callOptions.timeoutMs ?? timeoutMs;
      // A process that stood still has the answer before its timers.
      if (tookMs > waitMs) throw lateError(act.name, address, waitMs);
      const ageMs = Math.max(tookMs, result.fallback?.ageMs ?? 0);
      if (ageMs <= of.ageMsMax) return result;
      const standIn = standIns.standIn(of, 'age');
      if (standIn === undefined) throw oldError(act.name, of.ageMsMax, ageMs);
      return standIn;
    } catch (error) {
      const reason = reasonOf(error);
      const standIn = reason && standIns.standIn(of, reason);
      if (standIn === undefined) throw error;
      return standIn;
    }
  }

  return {
    address,
    act: async (given, callOptions = {}) => actOrStandIn(given, callOptions),
    actStream: (given) => openActStream({ connection, standIns, timeoutMs: toldTimeoutMs }, given),
    async qGrad(given, callOptions) {
      const fields = qGradFields(qGrad.name, given);
      const response = await call(qGrad, fields, callOptions, routingKeyOf(given));
      return qGradResult(from(qGrad), response, rowCountOf(fields.action));
    },
    async adapt(given, callOptions) {
      const { clientId } = given ?? {};
      const key = routingKeyOf(clientId === undefined ? {} : { clientId });
      return adaptResult(from(adapt), await call(adapt, adaptFields(adapt.name, given), callOptions, key));
    },
    async prepare(given, callOptions) {
      const fields = prepareFields(prepare.name, given);
      return prepareResult(from(prepare), await call(prepare, fields, callOptions, routingKeyOf(given)));
    },
    listModels: async (callOptions) => (await call(listModels, {}, callOptions)).models,
    getModel: describe,
    close: connection.close,
  };
}
