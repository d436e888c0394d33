/** The unary calls of the policy service over any transport: requests and answers are checked. */

import type { DescMessage, DescMethodUnary, MessageInitShape } from '@bufbuild/protobuf';
import {
  type GetModelResponse,
  type ListModelsResponse,
  PolicyService,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { ActOptions, ActResult } from './act.ts';
import { type ActCallOptions, createActCall } from './act-call.ts';
import { type AdaptOptions, type AdaptResult, adaptFields, adaptResult } from './adapt.ts';
import { type CallOptions, type CallUnary, checkCallOptions } from './call-options.ts';
import { checkOptions } from './checks.ts';
import { type PrepareOptions, type PrepareResult, prepareFields, prepareResult } from './prepare.ts';
import { type QGradOptions, type QGradResult, qGradFields, qGradResult } from './q-grad.ts';
import { checkDescription } from './received.ts';
import { type ModelSelection, routingKeyOf, rowCountOf, selectionFields, selectionNames } from './request.ts';
import { createStandIns, type StandIns } from './stand-ins.ts';

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

const { qGrad, adapt, prepare, listModels, getModel } = PolicyService.method;

export function createPolicyCalls(deps: PolicyCallsDeps): { readonly calls: PolicyCalls; readonly standIns: StandIns } {
  const { address } = deps;
  const call = <I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    given: CallOptions = {},
    routingKey?: string,
  ) => {
    checkCallOptions(method.name, given);
    const { timeoutMs = deps.timeoutMs, signal, metadata } = given;
    return deps.callUnary(method, request, { timeoutMs, signal, metadata, routingKey });
  };
  const from = ({ name }: { readonly name: string }) => ({ method: name, address });

  async function describe(selection: ModelSelection, given?: CallOptions): Promise<GetModelResponse> {
    checkOptions(getModel.name, selection, selectionNames);
    return checkDescription(from(getModel), await call(getModel, selectionFields(getModel.name, selection), given));
  }
  const standIns = createStandIns(describe);

  const calls: PolicyCalls = {
    act: createActCall({ ...deps, standIns }),
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
