/** The handlers of the policy service, which gRPC and HTTP share. */

import type { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { UnaryHandlers } from '../call/rpc.ts';
import type { ServerConfig } from '../config.ts';
import type { HandleStore } from '../handles/handle-store.ts';
import type { ModelStore } from '../models/model-store.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { type ActAnswerer, createActAnswerer } from './act.ts';
import { createAdaptHandler } from './adapt.ts';
import { ContextHandles } from './context-handles.ts';
import { LastActions } from './fallback.ts';
import { createGetModelHandler, createListModelsHandler } from './models.ts';
import { createPrepareHandler, type PrepareElsewhere } from './prepare.ts';
import { createQGradHandler } from './q-grad.ts';

type Methods = UnaryHandlers<typeof PolicyService>;

export type PolicyHandlers = Methods & {
  /** For streams, which resolve a version themselves. */
  readonly answer: ActAnswerer;
  readonly handles: ContextHandles;
  readonly lastActions: LastActions;
  /** Prepare in this process only. */
  readonly prepareHere: Methods['prepare'];
};

export type PolicyHandlerDeps = {
  readonly models: ModelStore;
  readonly handleStore: HandleStore;
  readonly config: ServerConfig;
  readonly metrics: Metrics;
  readonly eventLoopDelayUs: () => number;
  /** Only if this process is one of several. */
  readonly prepareElsewhere?: PrepareElsewhere | undefined;
};

export function createPolicyHandlers(deps: PolicyHandlerDeps): PolicyHandlers {
  const { models, config, metrics, eventLoopDelayUs } = deps;
  const handles = new ContextHandles(models, deps.handleStore);
  const depsOf = (method: string) => ({ config, handles, eventLoopDelayUs, work: metrics.work(method) });
  const lastActions = new LastActions({ countMax: config.heldActionCountMax });
  const answer = createActAnswerer({
    ...depsOf('Act'),
    lastActions,
    onFallback: metrics.fallback,
  });
  return {
    answer,
    handles,
    lastActions,
    act: (request, call) => answer(handles.resolve('Act', request, call), request, call),
    qGrad: createQGradHandler(depsOf('QGrad')),
    adapt: createAdaptHandler(depsOf('Adapt')),
    prepare: createPrepareHandler({ models, config, elsewhere: deps.prepareElsewhere }),
    prepareHere: createPrepareHandler({ models, config }),
    listModels: createListModelsHandler(models),
    getModel: createGetModelHandler(models),
  };
}
