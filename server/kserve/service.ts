/**
 * The Open Inference Protocol, without a transport: metadata and inference of policies (`M`) and critics (`M.critic`) for clients that
 * know nothing of this project. The names and shapes of tensors are those of the graph contract.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { failedPrecondition, HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';
import {
  DataType,
  type ModelConfigSchema,
  type ModelInferRequest,
  type ModelInferResponseSchema,
  type ModelMetadataResponseSchema,
  type ModelStatisticsResponseSchema,
  type RepositoryIndexResponseSchema,
} from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { Call } from '../call/rpc.ts';
import type { ServerConfig } from '../config.ts';
import { answerByDue, dueOf, isOver, lateError, workDeadlineMs } from '../methods/due-time.ts';
import { RequestTimer } from '../methods/timing.ts';
import type { ModelStore, Selection } from '../models/model-store.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import { inferCritic, inferPolicy, type NamedRows } from './infer.ts';
import { readParameters } from './parameters.ts';
import { createTallies, type InferTally } from './statistics.ts';
import { readInputs, type WireTensors, writeOutputs } from './tensors.ts';

export type ModelInferResponseInit = MessageInitShape<typeof ModelInferResponseSchema>;
export type ModelMetadataResponseInit = MessageInitShape<typeof ModelMetadataResponseSchema>;

export type ModelConfigInit = MessageInitShape<typeof ModelConfigSchema>;
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

/** A policy or a critic of a version. */
export type Target = { readonly served: ServedVersion; readonly kind: 'policy' | 'critic' };

type NamedTarget = Target & { readonly name: string };

type Answering = { readonly call: Call; readonly tally: InferTally };

const criticSuffix = '.critic';

export function createKserve({
  models,
  config,
  work,
}: {
  readonly models: ModelStore;
  readonly config: ServerConfig;
  readonly work: WorkMetrics;
}): Kserve {
  const tallyOf = createTallies();

  function resolve(method: string, name: string, version: string, call: Call): Target {
    const known = new Set(models.list().map(({ model }) => model));
    const isCritic = !known.has(name) && name.endsWith(criticSuffix) && known.has(name.slice(0, -criticSuffix.length));
    const model = isCritic ? name.slice(0, -criticSuffix.length) : name;
    const served = models.resolve(method, { model, selection: selectionOf(version) }, call);
    const kind = isCritic ? 'critic' : 'policy';
    if (served[kind] !== null) return { served, kind };
    throw failedPrecondition({
      where: `${method} model`,
      expected: `a model with a ${kind}`,
      actual: `"${model}", which has none`,
      ...(kind === 'policy' && { remedy: `Its critic is "${model}${criticSuffix}"` }),
    });
  }

  /** Everything that the caller may use. */
  function targetsOf({ caller }: Call): NamedTarget[] {
    const allowed = models.list().filter(({ model }) => caller?.allowsModel(model) ?? true);
    return allowed.flatMap(({ model, versions }) =>
      versions.flatMap((served): NamedTarget[] => [
        ...(served.policy === null ? [] : [{ name: model, served, kind: 'policy' as const }]),
        ...(served.critic === null ? [] : [{ name: `${model}${criticSuffix}`, served, kind: 'critic' as const }]),
      ]),
    );
  }

  async function answer(request: ModelInferRequest, target: Target, { call, tally }: Answering) {
    const { served, kind } = target;
    const tensors = wireTensors(target);
    const { timeoutUs } = readParameters(request);
    const inputs = readInputs(request, tensors, { model: request.modelName, rowCountMax: config.rowCountMax });
    const { rowCount } = inputs.get('observation')!;
    work.rows(rowCount);
    call.record?.served(served, rowCount);
    const due = dueOf(call, timeoutUs, config.deadlineMarginMs);
    if (due !== undefined && isOver(due, call)) throw lateError('ModelInfer', due, 'Nothing was computed');
    const timer = new RequestTimer(call, { work });
    const infer = kind === 'policy' ? inferPolicy : inferCritic;
    const timed = { deadlineMs: workDeadlineMs(call, due), timer };
    const readAtMs = performance.now();
    const computed: Promise<NamedRows> = whenHeld(served, async () => infer(served, inputs, timed));
    const outputs = await answerByDue(computed, due, () => {
      throw lateError('ModelInfer', due!, 'The batch is too large or the server too busy for this deadline');
    });
    const computedAtMs = performance.now();
    const written = writeOutputs(request, tensors, outputs);
    const endMs = performance.now();
    const input = readAtMs - call.receivedAtMs;
    const output = endMs - computedAtMs;
    tally.answered(rowCount, { total: endMs - call.receivedAtMs, input, ...timer.workMs, output });
    return { modelName: request.modelName, modelVersion: String(served.version), id: request.id, ...written };
  }

  return {
    isReady(name, version, call) {
      try {
        resolve('ModelReady', name, version, call);
        return true;
      } catch (error) {
        if (error instanceof HyperpolicyError) return false;
        throw error;
      }
    },
    metadata(name, version, call) {
      const target = resolve('ModelMetadata', name, version, call);
      const { inputs, outputs } = wireTensors(target);
      const listed = ({ name: tensor, sizes }: WireTensors['inputs'][number]) => ({
        name: tensor,
        datatype: 'FP32',
        shape: [-1n, ...sizes.map(BigInt)],
      });
      const { served } = target;
      const versions = models.list().find(({ model }) => model === served.model)?.versions ?? [served];
      return {
        name,
        versions: versions.map((other) => String(other.version)),
        platform: 'onnxruntime_onnx',
        inputs: inputs.map(listed),
        outputs: outputs.map(listed),
        properties: {
          environment: served.manifest.environment,
          algorithm: served.manifest.algorithm,
          fingerprint: served.manifest.fingerprint,
        },
      };
    },
    config(name, version, call) {
      const { inputs, outputs } = wireTensors(resolve('ModelConfig', name, version, call));
      const listed = ({ name: tensor, sizes }: WireTensors['inputs'][number]) => ({
        name: tensor,
        dataType: DataType.TYPE_FP32,
        dims: sizes.map(BigInt),
      });
      return {
        name,
        platform: 'onnxruntime_onnx',
        backend: 'onnxruntime',
        maxBatchSize: config.rowCountMax,
        input: inputs.map((tensor) => ({ ...listed(tensor), optional: tensor.optional === true })),
        output: outputs.map(listed),
      };
    },
    index(repositoryName, call) {
      if (repositoryName !== '') return { models: [] };
      const entry = ({ name, served }: NamedTarget) => ({ name, version: String(served.version), state: 'READY' });
      return { models: targetsOf(call).map(entry) };
    },
    statistics(name, version, call) {
      const statisticsOf = (target: NamedTarget) => ({
        ...tallyOf(target).fields(),
        name: target.name,
        version: String(target.served.version),
      });
      if (name === '') {
        if (version === '') return { modelStats: targetsOf(call).map(statisticsOf) };
        throw invalidArgument({ where: 'ModelStatistics version', expected: 'none without a name', actual: 'one' });
      }
      const one = { ...resolve('ModelStatistics', name, version, call), name };
      const isSame = ({ served, kind }: Target) => served.model === one.served.model && kind === one.kind;
      return { modelStats: (version === '' ? targetsOf(call).filter(isSame) : [one]).map(statisticsOf) };
    },
    async infer(request, call) {
      const target = resolve('ModelInfer', request.modelName, request.modelVersion, call);
      const tally = tallyOf(target);
      try {
        return await answer(request, target, { call, tally });
      } catch (error) {
        tally.failed(performance.now() - call.receivedAtMs);
        throw error;
      }
    },
  };
}

function selectionOf(version: string): Selection['selection'] {
  if (version === '') return { case: undefined };
  return /^\d+$/.test(version) ? { case: 'version', value: Number(version) } : { case: 'label', value: version };
}

/** The tensors of a policy or critic as clients see them. */
function wireTensors({ served, kind }: Target): WireTensors {
  const { observationSize, actionSize, contextSize, policy, critic, manifest } = served;
  const observation = { name: 'observation', sizes: [observationSize] };
  const action = { name: 'action', sizes: [actionSize] };
  const context = { name: 'context', sizes: [contextSize] };
  if (kind === 'critic') {
    const { ensembleSize, contextSize: criticContextSize } = critic!;
    return {
      inputs: [observation, action, ...(criticContextSize > 0 ? [context] : [])],
      outputs: [
        { name: 'q', sizes: [ensembleSize] },
        { name: 'dq_da', sizes: [ensembleSize, actionSize] },
      ],
    };
  }
  const network = manifest.policy!;
  const graph = network.kind === 'plain' ? network.graph : network.dynamic;
  const hasLogProb = graph.outputs.some(({ name }) => name === 'log_prob');
  return {
    inputs: [
      observation,
      ...(contextSize > 0 ? [context] : []),
      ...(policy!.stochastic ? [{ name: 'noise', sizes: [actionSize], optional: true }] : []),
    ],
    outputs: [action, ...(hasLogProb ? [{ name: 'log_prob', sizes: [] }] : [])],
  };
}
