/** The methods of each gRPC port, with their handlers. */

import type { DescService } from '@bufbuild/protobuf';
import { decodeActRequest, decodeActStreamRequest } from '../src/contract/act-request.ts';
import { encodeActResponse, encodeActStreamResponse } from '../src/contract/act-response.ts';
import { createReflection } from '../src/contract/reflection.ts';
import { Health as HealthService } from '../src/gen/grpc/health/v1/health_pb.ts';
import { ServerReflection, type ServerReflectionRequest } from '../src/gen/grpc/reflection/v1/reflection_pb.ts';
import { AdminService } from '../src/gen/hyperpolicy/v1/admin_service_pb.ts';
import { PolicyService } from '../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { GRPCInferenceService, type ModelInferRequest } from '../src/gen/inference/grpc_predict_v2_pb.ts';
import { openAccess } from './access/access.ts';
import { orderedStream } from './call/ordered-answers.ts';
import type { Call, UnaryHandlers } from './call/rpc.ts';
import { serverVersion } from './config.ts';
import { createKserve } from './kserve/service.ts';
import { createActStreamHandler } from './methods/act-stream.ts';
import type { PolicyHandlers } from './methods/policy-handlers.ts';
import type { ModelStore } from './models/model-store.ts';
import { createDescribe } from './telemetry/faults.ts';
import type { GrpcMethod } from './transport/grpc-call.ts';
import { streamMethod } from './transport/grpc-streams.ts';
import { unaryMethods } from './transport/grpc-unary.ts';
import type { Health } from './transport/health.ts';
import { createGate, type MethodDeps, ownGateCountMax } from './transport/invocation.ts';

/** Needed for the methods of any gRPC port. */
export type PortSources = {
  readonly health: Health;
  readonly deps: MethodDeps;
};

export type MethodSources = PortSources & { readonly models: ModelStore; readonly handlers: PolicyHandlers };

/** The methods of the serving port. */
export function servingMethods(sources: MethodSources): GrpcMethod[] {
  return [
    ...policyMethods(sources),
    ...inferenceMethods(sources),
    ...toolMethods(sources, [PolicyService, GRPCInferenceService]),
  ];
}

/** Of the methods on a control loop's path. */
const actCodec = { decode: decodeActRequest, encode: encodeActResponse };
const actStreamCodec = { decode: decodeActStreamRequest, encode: encodeActStreamResponse };

function policyMethods({ handlers, deps }: MethodSources): GrpcMethod[] {
  const { config } = deps;
  const { answer, handles } = handlers;
  const describe = createDescribe('ActStream', deps);
  const actStream = createActStreamHandler({ handles, config, answer, describe });
  return [
    ...unaryMethods(PolicyService, handlers, deps, { codecs: { act: actCodec } }),
    streamMethod(PolicyService.method.actStream, actStream, deps, actStreamCodec),
  ];
}

function inferenceMethods({ models, health, deps }: MethodSources): GrpcMethod[] {
  const { config, metrics } = deps;
  const kserve = createKserve({ models, config, work: metrics.work('ModelInfer') });
  const extensions = ['model_configuration', 'model_repository(index)', 'schedule_policy', 'statistics'];
  const about = {
    serverLive: () => ({ live: true }),
    serverReady: () => ({ ready: health.serving }),
    serverMetadata: () => ({ name: 'hyperpolicy', version: serverVersion, extensions }),
  };
  const describe = createDescribe('ModelStreamInfer', deps);
  const streamed = async (request: ModelInferRequest, call: Call) => {
    try {
      return { inferResponse: await kserve.modelInfer(request, call) };
    } catch (error) {
      const { name, text } = describe(error, call);
      call.end(name);
      return { errorMessage: text, inferResponse: { id: request.id } };
    }
  };
  const { modelStreamInfer } = GRPCInferenceService.method;
  const probes = createGate(ownGateCountMax);
  const gates = { serverLive: probes, serverReady: probes };
  return [
    ...unaryMethods(GRPCInferenceService, { ...about, ...kserve }, deps, { gates }),
    streamMethod(modelStreamInfer, orderedStream(streamed, config.streamRequestCountMax), deps),
  ];
}

/** The methods of the admin port. */
export const adminMethods = (handlers: UnaryHandlers<typeof AdminService>, sources: PortSources): GrpcMethod[] => [
  ...unaryMethods(AdminService, handlers, sources.deps),
  ...toolMethods(sources, [AdminService]),
];

/** Health and reflection, which every port has for tools. */
function toolMethods(sources: PortSources, services: readonly DescService[]): GrpcMethod[] {
  return [...healthMethods(sources), ...reflectionMethods(sources, [...services, HealthService, ServerReflection])];
}

function healthMethods({ health, deps: ofPort }: PortSources): GrpcMethod[] {
  // Health checks have no token, would fill the log, and are answered by a server that is busy.
  const deps = { ...ofPort, access: openAccess, recorder: undefined, gate: createGate(ownGateCountMax) };
  const handlers: UnaryHandlers<typeof HealthService> = {
    check: ({ service }) => health.check(service),
    list: () => health.list(),
  };
  return [
    ...unaryMethods(HealthService, handlers, deps),
    streamMethod(HealthService.method.watch, (sink, peer) => health.watch(sink, peer), deps),
  ];
}

/** Reflection under its present name and, for older tools, the former one; the messages are the same. */
function reflectionMethods({ deps }: PortSources, services: readonly DescService[]): GrpcMethod[] {
  const reflect = createReflection(services);
  const reflected = orderedStream(async (request: ServerReflectionRequest) => reflect(request), 16);
  const method = ServerReflection.method.serverReflectionInfo;
  const former = { ...method, parent: { ...method.parent, typeName: 'grpc.reflection.v1alpha.ServerReflection' } };
  return [method, former].map((one) => streamMethod(one, reflected, deps));
}
