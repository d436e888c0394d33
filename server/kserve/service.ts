/**
 * The Open Inference Protocol, without a transport: metadata and inference of policies (`M`) and critics (`M.critic`) for clients that
 * know nothing of this project. The names and shapes of tensors are those of the graph contract.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';
import type {
  ModelInferRequest,
  ModelInferResponseSchema,
  ModelStatisticsResponseSchema,
  RepositoryIndexResponseSchema,
} from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { Call } from '../call/rpc.ts';
import type { ServerConfig } from '../config.ts';
import { workDeadlineMs } from '../methods/due-time.ts';
import { Task } from '../methods/task.ts';
import type { ModelStore } from '../models/model-store.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import {
  configOf,
  type ModelConfigInit,
  type ModelMetadataResponseInit,
  metadataOf,
  wireTensors,
} from './descriptions.ts';
import { inferCritic, inferPolicy } from './infer.ts';
import { readParameters } from './parameters.ts';
import { createTallies, type InferTally, type TallyOf } from './statistics.ts';
import { createTargets, type NamedTarget, type Target, type Targets } from './targets.ts';
import { readInputs, writeOutputs } from './tensors.ts';

export type ModelInferResponseInit = MessageInitShape<typeof ModelInferResponseSchema>;
export type RepositoryIndexInit = MessageInitShape<typeof RepositoryIndexResponseSchema>;
export type ModelStatisticsResponseInit = MessageInitShape<typeof ModelStatisticsResponseSchema>;

export type Kserve = {
  isReady(name: string, version: string, call: Call): boolean;
  /** @throws HyperpolicyError as `infer` */
  metadata(name: string, version: string, call: Call): ModelMetadataResponseInit;
  /** @throws HyperpolicyError as `infer` */
  config(name: string, version: string, call: Call): ModelConfigInit;
  /** What the caller may use. */
  index(repositoryName: string, call: Call): RepositoryIndexInit;
  /** Of one version, of all versions of a name, or of all that the caller may use. @throws HyperpolicyError as `infer` */
  statistics(name: string, version: string, call: Call): ModelStatisticsResponseInit;
  /** @throws HyperpolicyError not_found: model or version; invalid_argument: tensors; deadline_exceeded */
  infer(request: ModelInferRequest, call: Call): Promise<ModelInferResponseInit>;
};

export type KserveDeps = { readonly models: ModelStore; readonly config: ServerConfig; readonly work: WorkMetrics };

export function createKserve({ models, config, work }: KserveDeps): Kserve {
  const targets = createTargets(models);
  const tallyOf = createTallies();
  return {
    isReady(name, version, call) {
      try {
        targets.resolve('ModelReady', name, version, call);
        return true;
      } catch (error) {
        if (error instanceof HyperpolicyError) return false;
        throw error;
      }
    },
    metadata(name, version, call) {
      const target = targets.resolve('ModelMetadata', name, version, call);
      return metadataOf(name, target, targets.versionsOf(target.served.model));
    },
    config: (name, version, call) =>
      configOf(name, targets.resolve('ModelConfig', name, version, call), config.rowCountMax),
    index(repositoryName, call) {
      if (repositoryName !== '') return { models: [] };
      const entry = ({ name, served }: NamedTarget) => ({ name, version: String(served.version), state: 'READY' });
      return { models: targets.list(call).map(entry) };
    },
    statistics: (name, version, call) => statistics({ targets, tallyOf }, name, version, call),
    async infer(request, call) {
      const target = targets.resolve('ModelInfer', request.modelName, request.modelVersion, call);
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

function statistics(
  { targets, tallyOf }: { readonly targets: Targets; readonly tallyOf: TallyOf },
  name: string,
  version: string,
  call: Call,
): ModelStatisticsResponseInit {
  const statisticsOf = (target: NamedTarget) => ({
    ...tallyOf(target).fields(),
    name: target.name,
    version: String(target.served.version),
  });
  if (name === '') {
    if (version === '') return { modelStats: targets.list(call).map(statisticsOf) };
    throw invalidArgument({ where: 'ModelStatistics version', expected: 'none without a name', actual: 'one' });
  }
  const one = { ...targets.resolve('ModelStatistics', name, version, call), name };
  const isSame = ({ served, kind }: Target) => served.model === one.served.model && kind === one.kind;
  return { modelStats: (version === '' ? targets.list(call).filter(isSame) : [one]).map(statisticsOf) };
}

type Inference = Omit<KserveDeps, 'models'> & { readonly call: Call; readonly tally: InferTally };

async function infer(
  request: ModelInferRequest,
  target: Target,
  { call, tally, config, work }: Inference,
): Promise<ModelInferResponseInit> {
  const { served, kind } = target;
  const tensors = wireTensors(target);
  const { timeoutUs } = readParameters(request);
  const inputs = readInputs(request, tensors, { model: request.modelName, rowCountMax: config.rowCountMax });
  const { rowCount } = inputs.get('observation')!;
  const task = new Task({ method: 'ModelInfer', served, call, rowCount, budgetUs: timeoutUs }, { config, work });
  if (task.isOver) throw task.lateError('Nothing was computed');
  const run = kind === 'policy' ? inferPolicy : inferCritic;
  const timed = { deadlineMs: workDeadlineMs(call, task.due), task };
  const readAtMs = performance.now();
  const late = 'The batch is too large or the server too busy for this deadline';
  const outputs = await task.inTime(() => run(inputs, timed), late);
  const computedAtMs = performance.now();
  const written = writeOutputs(request, tensors, outputs);
  const endMs = performance.now();
  const input = readAtMs - call.receivedAtMs;
  const output = endMs - computedAtMs;
  tally.answered(rowCount, { total: endMs - call.receivedAtMs, input, ...task.workMs, output });
  return { modelName: request.modelName, modelVersion: String(served.version), id: request.id, ...written };
}
