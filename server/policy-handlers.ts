/** The policy service's handlers, made once: gRPC and HTTP serve the same. */

import type { MessageInitShape, MessageShape } from '@bufbuild/protobuf';
import type { PolicyService } from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { type ActAnswerer, createActAnswerer } from './act.ts';
import type { ServerConfig } from './config.ts';
import { createHeldActions } from './held-actions.ts';
import type { Metrics } from './metrics.ts';
import type { ModelStore } from './model-store.ts';
import { createGetModelHandler, createListModelsHandler } from './models.ts';
import { createPrepareHandler } from './prepare.ts';
import { createQGradHandler } from './q-grad.ts';
import type { UnaryHandler } from './rpc.ts';

type Methods = typeof PolicyService.method;
type HandlerOf<Name extends keyof Methods> = UnaryHandler<
  MessageShape<Methods[Name]['input']>,
  MessageInitShape<Methods[Name]['output']>
>;

export type PolicyHandlers = {
  readonly [Name in Exclude<keyof Methods, 'actStream'>]: HandlerOf<Name>;
} & {
  /** For streams, which resolve a version themselves. */
  readonly answer: ActAnswerer;
};

export type PolicyHandlerDeps = {
  readonly models: ModelStore;
  readonly config: ServerConfig;
  readonly metrics: Metrics;
  readonly eventLoopDelayUs: () => number;
};

export function createPolicyHandlers({ models, config, metrics, eventLoopDelayUs }: PolicyHandlerDeps): PolicyHandlers {
  const answer = createActAnswerer({
    config,
    eventLoopDelayUs,
    held: createHeldActions({ countMax: config.heldActionCountMax }),
    work: metrics.work('Act'),
    onFallback: metrics.fallback,
  });
  return {
    answer,
    act: (request, call) => answer(models.resolve('Act', request, call), request, call),
    qGrad: createQGradHandler({ config, eventLoopDelayUs, models, work: metrics.work('QGrad') }),
    prepare: createPrepareHandler({ models, config }),
    listModels: createListModelsHandler(models),
    getModel: createGetModelHandler(models),
  };
}
