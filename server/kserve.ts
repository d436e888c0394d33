/**
 * The Open Inference Protocol, without a transport: metadata and inference of policies (`M`) and critics (`M.critic`) for clients that
 * know nothing of this project. The names and shapes of tensors are those of the graph contract.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  DataType,
  type ModelConfigSchema,
  type ModelInferRequest,
  type ModelInferResponseSchema,
  type ModelMetadataResponseSchema,
  type RepositoryIndexResponseSchema,
} from '../src/gen/inference/grpc_predict_v2_pb.ts';
import { failedPrecondition, HyperpolicyError, invalidArgument } from '../src/spec/errors.ts';
import type { ServerConfig } from './config.ts';
import { answerByDue, dueOf, lateError } from './due-time.ts';
import { inferCritic, inferPolicy, type NamedRows } from './kserve-infer.ts';
import { readInputs, type WireTensors, writeOutputs } from './kserve-tensors.ts';
import type { WorkMetrics } from './metrics.ts';
import type { ModelStore, Selection } from './model-store.ts';
import { checkDeadline } from './request-checks.ts';
import type { Call } from './rpc.ts';
import { type ServedVersion, whenHeld } from './served-version.ts';
import { RequestTimer } from './timing.ts';

export type ModelInferResponseInit = MessageInitShape<typeof ModelInferResponseSchema>;
export type ModelMetadataResponseInit = MessageInitShape<typeof ModelMetadataResponseSchema>;

export type ModelConfigInit = MessageInitShape<typeof ModelConfigSchema>;
export type RepositoryIndexInit = MessageInitShape<typeof RepositoryIndexResponseSchema>;

export type Kserve = {
  isReady(name: string, version: string, call: Call): boolean;
  /** @throws HyperpolicyError as `infer` */
  metadata(name: string, version: string, call: Call): ModelMetadataResponseInit;
  /** @throws HyperpolicyError as `infer` */
  config(name: string, version: string, call: Call): ModelConfigInit;
  /** What the caller may use. */
  index(repositoryName: string, call: Call): RepositoryIndexInit;
  /** @throws HyperpolicyError not_found: model or version; invalid_argument: tensors; deadline_exceeded */
  infer(request: ModelInferRequest, call: Call): Promise<ModelInferResponseInit>;
};

/** A policy or a critic of a version. */
export type Target = { readonly served: ServedVersion; readonly kind: 'policy' | 'critic' };

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
    index(repositoryName, { caller }) {
      if (repositoryName !== '') return { models: [] };
      const allowed = models.list().filter(({ model }) => caller?.allowsModel(model) ?? true);
      const entry = (name: string, version: number) => ({ name, version: String(version), state: 'READY' });
      return {
        models: allowed.flatMap(({ model, versions }) =>
          versions.flatMap(({ version, policy, critic }) => [
            ...(policy === null ? [] : [entry(model, version)]),
            ...(critic === null ? [] : [entry(`${model}${criticSuffix}`, version)]),
          ]),
        ),
      };
    },
    async infer(request, call) {
      const target = resolve('ModelInfer', request.modelName, request.modelVersion, call);
      const { served, kind } = target;
      const tensors = wireTensors(target);
      const inputs = readInputs(request, tensors, { model: request.modelName, rowCountMax: config.rowCountMax });
      const { rowCount } = inputs.get('observation')!;
      work.rows(rowCount);
      call.observation?.served(served, rowCount);
      checkDeadline('ModelInfer', call);
      const due = dueOf(call, timeoutOf(request), config.deadlineMarginMs);
      const timer = new RequestTimer(call, { work });
      const infer = kind === 'policy' ? inferPolicy : inferCritic;
      const answer: Promise<NamedRows> = whenHeld(served, async () => infer(served, inputs, { call, timer }));
      const outputs = await answerByDue(answer, due, () => {
        throw lateError('ModelInfer', due!, 'The batch is too large or the server too busy for this deadline');
      });
      return {
        modelName: request.modelName,
        modelVersion: String(served.version),
        id: request.id,
        ...writeOutputs(request, tensors, outputs),
      };
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

/** The parameter `timeout`, microseconds; 0 where there is none. @throws HyperpolicyError invalid_argument */
function timeoutOf({ parameters }: ModelInferRequest): number {
  const choice = parameters.timeout?.parameterChoice;
  if (choice === undefined) return 0;
  const value = choice.case === 'int64Param' || choice.case === 'uint64Param' ? Number(choice.value) : Number.NaN;
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw invalidArgument({
    where: 'ModelInfer timeout',
    expected: 'a positive integer of microseconds',
    actual: `${choice.value}`.slice(0, 100),
  });
}
