/**
 * The Open Inference Protocol, without a transport: metadata and inference of policies (`M`) and critics (`M.critic`) for clients that
 * do not know this project. Names and shapes of tensors are those of the graph contract.
 */

import { HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';
import type {
  GRPCInferenceService,
  ModelInferRequest,
  ModelStatisticsRequest,
} from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import { checkResult } from '../call/finite.ts';
import type { Call, UnaryHandlers } from '../call/rpc.ts';
import { noContext, type Rows } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import { clipActions } from '../methods/act.ts';
import { demandOf } from '../methods/due-time.ts';
import { Task } from '../methods/task.ts';
import type { ModelStore } from '../models/model-store.ts';
import type { ServedNetwork } from '../models/served-network.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import { readParameters } from './parameters.ts';
import { createTallies, type InferTally } from './statistics.ts';
import { configOf, metadataOf, type NamedTarget, Targets } from './targets.ts';
import { readInputs, readRequested, writeOutputs } from './tensors.ts';

export type KserveDeps = { readonly models: ModelStore; readonly config: ServerConfig; readonly work: WorkMetrics };

/**
 * Handlers of the methods about models. They show a caller only the models that it may use.
 * @throws HyperpolicyError (each but modelReady and repositoryIndex) not_found: model or version; failed_precondition: a model without
 * such a network; modelInfer also invalid_argument: tensors, parameters; deadline_exceeded
 */
export function createKserve({ models, config, work }: KserveDeps) {
  const targets = new Targets(models);
  const tallyOf = createTallies();
  return {
    modelReady(request, call) {
      try {
        targets.resolve('ModelReady', request, call);
        return { ready: true };
      } catch (error) {
        if (error instanceof HyperpolicyError) return { ready: false };
        throw error;
      }
    },
    modelMetadata(request, call) {
      const target = targets.resolve('ModelMetadata', request, call);
      return metadataOf(target, targets.versionsOf(target));
    },
    modelConfig: (request, call) => ({
      config: configOf(targets.resolve('ModelConfig', request, call), config.rowCountMax),
    }),
    repositoryIndex({ repositoryName }, call) {
      if (repositoryName !== '') return { models: [] };
      const entry = ({ name, served }: NamedTarget) => ({ name, version: String(served.version), state: 'READY' });
      return { models: targets.list(call).map(entry) };
    },
    modelStatistics(request, call) {
      const asked = statisticsTargets(targets, request, call);
      return {
        modelStats: asked.map((target) => ({
          ...tallyOf(target).fields(),
          name: target.name,
          version: String(target.served.version),
        })),
      };
    },
    async modelInfer(request, call) {
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
  } satisfies Partial<UnaryHandlers<typeof GRPCInferenceService>>;
}

/** One version, all versions of a name, or everything that the caller may use. */
function statisticsTargets(targets: Targets, request: ModelStatisticsRequest, call: Call): readonly NamedTarget[] {
  if (request.name === '') {
    if (request.version === '') return targets.list(call);
    throw invalidArgument({ where: 'ModelStatistics version', expected: 'none without a name', actual: 'one' });
  }
  const one = targets.resolve('ModelStatistics', request, call);
  if (request.version !== '') return [one];
  return targets.list(call).filter(({ served, name }) => served.model === one.served.model && name === one.name);
}

type Inference = Omit<KserveDeps, 'models'> & { readonly call: Call; readonly tally: InferTally };

async function infer(
  request: ModelInferRequest,
  { served, network }: NamedTarget,
  { call, tally, config, work }: Inference,
) {
  const { timeoutUs } = readParameters(request);
  const rule = { model: request.modelName, rowCountMax: config.rowCountMax };
  const inputs = readInputs(request, network.tensors, rule);
  const requested = readRequested(request, network.tensors);
  const { rowCount } = inputs.get('observation')!;
  const task = new Task({ method: 'ModelInfer', served, call, rowCount, budgetUs: timeoutUs }, { config, work });
  if (task.isOver) throw task.lateError('Nothing was computed');
  const readAtMs = performance.now();
  const values = await task.inTime(() => runNetwork(network, inputs, task));
  const computedAtMs = performance.now();
  const written = writeOutputs(requested, { rowCount, values, isRaw: request.rawInputContents.length > 0 });
  const endMs = performance.now();
  const input = readAtMs - call.receivedAtMs;
  const output = endMs - computedAtMs;
  tally.answered(rowCount, { total: endMs - call.receivedAtMs, input, ...task.workMs, output });
  return { modelName: request.modelName, modelVersion: String(served.version), id: request.id, ...written };
}

/** @returns checked outputs by name, each [rowCount, ...] */
async function runNetwork(
  { weights: source, fused, run }: ServedNetwork,
  inputs: ReadonlyMap<string, Rows>,
  task: Task,
) {
  const { model, version } = task.served;
  const demand = demandOf(task.call, task.due);
  const { rowCount } = inputs.get('observation')!;
  const rows = Object.fromEntries([...inputs].map(([name, { values }]) => [name, values]));
  const found = source?.lookUp(inputs.get(source.inputName) ?? noContext);
  const isNew = found !== undefined && fused?.takes(found, rowCount) === true;
  const weights = isNew || found === undefined ? undefined : await task.weights(source!, found, demand);
  const outputs = await task.network(() => (isNew ? fused!.run : run)({ rowCount, rows, weights, demand }));
  const sent = { method: 'ModelInfer', values: Object.values(rows) };
  for (const [name, output] of Object.entries(outputs)) {
    if (name === 'action') clipActions(output, task.served, sent);
    else checkResult(`model "${model}" version ${version}: ${name}`, output, sent);
  }
  return outputs;
}
