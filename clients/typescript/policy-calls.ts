/** The single calls of the policy service, over whatever transport: requests checked, answers checked, and what stands in for them. */

import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import {
  type GetModelResponse,
  type ListModelsResponse,
  PolicyService,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type ActOptions, type ActResult, actFields, actResult } from './act.ts';
import { type AdaptOptions, type AdaptResult, adaptFields, adaptResult } from './adapt.ts';
import { type CallOptions, type CallUnary, checkCallOptions } from './call-options.ts';
import { checkOptions, checkTime } from './checks.ts';
import { lateError, oldError } from './errors.ts';
import { type PrepareOptions, type PrepareResult, prepareFields, prepareResult } from './prepare.ts';
import { type QGradOptions, type QGradResult, qGradFields, qGradResult } from './q-grad.ts';
import { checkDescription } from './received.ts';
import { type ModelSelection, routingKeyOf, rowCountOf, selectionFields, selectionNames } from './request.ts';
import { createStandIns, type InPlaceOf, reasonOf, type StandIns } from './stand-ins.ts';

export type ActCallOptions = CallOptions & {
  /**
   * Oldest action that is returned, milliseconds: of a fresh one from the call on, of a held one from when it was fresh. An older one is
   * replaced by the fallback (of `hold` by `safe`), or refused. No limit unless given.
   */
  readonly ageMsMax?: number;
};

export type PolicyCalls = {
  act(options: ActOptions, call?: ActCallOptions): Promise<ActResult>;
  qGrad(options: QGradOptions, call?: CallOptions): Promise<QGradResult>;
  /** Adapts a model to experience; the server holds the result. */
  adapt(options: AdaptOptions, call?: CallOptions): Promise<AdaptResult>;
  /** Makes weights ahead of the requests that will need them. */
  prepare(options: PrepareOptions, call?: CallOptions): Promise<PrepareResult>;
  listModels(call?: CallOptions): Promise<ListModelsResponse['models']>;
  getModel(selection: ModelSelection, call?: CallOptions): Promise<GetModelResponse>;
};

export type PolicyCallsDeps = {
  /** Of the server, for errors. */
  readonly address: string;
  /** For calls that name none of their own, milliseconds. */
  readonly timeoutMs: number;
  readonly callUnary: CallUnary;
};

/** Milliseconds, of clients that are not told another. */
export const defaultTimeoutMs = 5000;

const { act, qGrad, adapt, prepare, listModels, getModel } = PolicyService.method;

export function createPolicyCalls(deps: PolicyCallsDeps): { readonly calls: PolicyCalls; readonly standIns: StandIns } {
  const { address } = deps;
  const call = <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    given: CallOptions = {},
    routingKey?: string,
  ) => {
    checkCallOptions(method.name, given);
    return callChecked(method, request, given, routingKey);
  };
  const callChecked = <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    { timeoutMs = deps.timeoutMs, signal, metadata }: CallOptions,
    routingKey: string | undefined,
  ) => deps.callUnary(method, request, { timeoutMs, signal, metadata, routingKey });
  const from = ({ name }: { readonly name: string }) => ({ method: name, address });

  async function describe(selection: ModelSelection, given?: CallOptions): Promise<GetModelResponse> {
    checkOptions(getModel.name, selection, selectionNames);
    return checkDescription(from(getModel), await call(getModel, selectionFields(getModel.name, selection), given));
  }
  const standIns = createStandIns(describe);

  async function actOrStandIn(given: ActOptions, actOptions: ActCallOptions): Promise<ActResult> {
    const fields = actFields(act.name, given);
    checkCallOptions(act.name, actOptions, ['ageMsMax']);
    const { ageMsMax, timeoutMs: waitMs = deps.timeoutMs } = actOptions;
    if (ageMsMax !== undefined) checkTime(`${act.name} ageMsMax`, ageMsMax);
    const of = inPlaceOf(given, rowCountOf(fields.observation), ageMsMax);
    if (of.fallback !== undefined && of.fallback !== 'error') standIns.learn(of.selection);
    const startMs = performance.now();
    try {
      const result = actResult(from(act), await callChecked(act, fields, actOptions, routingKeyOf(given)), of.rows);
      const tookMs = performance.now() - startMs;
      if (result.fallback === undefined) standIns.keep(of, result, tookMs);
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

  const calls: PolicyCalls = {
    act: async (given, actOptions = {}) => actOrStandIn(given, actOptions),
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
  };
  return { calls, standIns };
}

function inPlaceOf(given: ActOptions, rows: number, ageMsMax = Number.POSITIVE_INFINITY): InPlaceOf {
  const { model, version, label, clientId = '', sequence = 0n, fallback } = given;
  return {
    selection: { model, ...(version !== undefined && { version }), ...(label !== undefined && { label }) },
    clientId,
    rows,
    sequence,
    fallback,
    ageMsMax,
  };
}
