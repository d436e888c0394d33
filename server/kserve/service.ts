/**
 * The Open Inference Protocol, without a transport: metadata and inference of policies (`M`) and critics (`M.critic`) for clients that
 * know nothing of this project. The names and shapes of tensors are those of the graph contract.
 */

import { HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';
import type {
  ModelConfigRequest,
  ModelInferRequest,
  ModelMetadataRequest,
  ModelReadyRequest,
  ModelStatisticsRequest,
  RepositoryIndexRequest,
} from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { Call } from '../call/rpc.ts';
import type { ServerConfig } from '../config.ts';
import { Task } from '../methods/task.ts';
import type { ModelStore } from '../models/model-store.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import { configOf, metadataOf, wireTensors } from './descriptions.ts';
import { inferNetwork } from './infer.ts';
import { readParameters } from './parameters.ts';
import { createTallies, type InferTally } from './statistics.ts';
import { type NamedTarget, type Target, Targets } from './targets.ts';
import { readInputs, writeOutputs } from './tensors.ts';

export type KserveDeps = { readonly models: ModelStore; readonly config: ServerConfig; readonly work: WorkMetrics };

/**
 * Handlers of the methods that are about models. They show a caller what it may use.
 * @throws HyperpolicyError (each but modelReady and repositoryIndex) not_found: model or version; failed_precondition: a model without
 * such a network; modelInfer also invalid_argument: tensors, parameters; deadline_exceeded
 */
export function createKserve({ models, config, work }: KserveDeps) {
  const targets = new Targets(models);
  const tallyOf = createTallies();
  const statisticsOf = (target: NamedTarget) => ({
    ...tallyOf(target).fields(),
    name: target.name,
    version: String(target.served.version),
  });
  return {
    modelReady(request: ModelReadyRequest, call: Call) {
      try {
        targets.resolve('ModelReady', request, call);
        return { ready: true };
      } catch (error) {
        if (error instanceof HyperpolicyError) return { ready: false };
        throw error;
      }
    },
    modelMetadata(request: ModelMetadataRequest, call: Call) {
      const target = targets.resolve('ModelMetadata', request, call);
      return metadataOf(target, targets.versionsOf(target));
    },
    modelConfig: (request: ModelConfigRequest, call: Call) => ({
      config: configOf(targets.resolve('ModelConfig', request, call), config.rowCountMax),
    }),
    repositoryIndex({ repositoryName }: RepositoryIndexRequest, call: Call) {
      if (repositoryName !== '') return { models: [] };
      const entry = ({ name, served }: NamedTarget) => ({ name, version: String(served.version), state: 'READY' });
      return { models: targets.list(call).map(entry) };
    },
    /** Of one version, of all versions of a name, or of all that the caller may use. */
    modelStatistics(request: ModelStatisticsRequest, call: Call) {
      if (request.name === '') {
        if (request.version === '') return { modelStats: targets.list(call).map(statisticsOf) };
        throw invalidArgument({ where: 'ModelStatistics version', expected: 'none without a name', actual: 'one' });
      }
      const one = targets.resolve('ModelStatistics', request, call);
      if (request.version !== '') return { modelStats: [statisticsOf(one)] };
      const isSame = ({ served, kind }: Target) => served.model === one.served.model && kind === one.kind;
      return { modelStats: targets.list(call).filter(isSame).map(statisticsOf) };
    },
    async modelInfer(request: ModelInferRequest, call: Call) {
      const { modelName: name, modelVersion: version } = request;
      const target = targets.resolve('ModelInfer', { name, version }, call);
      const tally = tallyOf(target);
      try {
        return await infer(request, target, { call, tally, config, work });
      } catch (error) {
        tally.failed(performance.now() - call.receivedAtMs);
        throw error;
      }
    },
  };
}

type Inference = Omit<KserveDeps, 'models'> & { readonly call: Call; readonly tally: InferTally };

async function infer(request: ModelInferRequest, target: Target, { call, tally, config, work }: Inference) {
  const { served, kind } = target;
  const tensors = wireTensors(target);
  const { timeoutUs } = readParameters(request);
  const inputs = readInputs(request, tensors, { model: request.modelName, rowCountMax: config.rowCountMax });
  const { rowCount } = inputs.get('observation')!;
  const task = new Task({ method: 'ModelInfer', served, call, rowCount, budgetUs: timeoutUs }, { config, work });
  if (task.isOver) throw task.lateError('Nothing was computed');
  const readAtMs = performance.now();
  const late = 'The batch is too large or the server too busy for this deadline';
  const outputs = await task.inTime(() => inferNetwork(served[kind]!, inputs, task), late);
  const computedAtMs = performance.now();
  const written = writeOutputs(request, tensors, outputs);
  const endMs = performance.now();
  const input = readAtMs - call.receivedAtMs;
  const output = endMs - computedAtMs;
  tally.answered(rowCount, { total: endMs - call.receivedAtMs, input, ...task.workMs, output });
  return { modelName: request.modelName, modelVersion: String(served.version), id: request.id, ...written };
}
