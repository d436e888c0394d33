/** ListModels and GetModel: the served models, and what a client must know to use them. */

import type { TensorSpec } from '../../src/contract/tensor-spec.ts';
import type { PolicyService } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { mayUse } from '../call/caller.ts';
import type { UnaryHandlers } from '../call/rpc.ts';
import type { ModelStore } from '../models/model-store.ts';
import type { ServedVersion } from '../models/served-version.ts';

type Methods = UnaryHandlers<typeof PolicyService>;

export function createListModelsHandler(models: ModelStore): Methods['listModels'] {
  return (_, { caller }) => ({
    models: models
      .list()
      .filter(({ model }) => mayUse(caller, model))
      .map(({ model, versions, routing }) => ({
        model,
        versions: versions.map(({ version }) => version),
        environment: versions[0]!.manifest.environment,
        algorithm: versions[0]!.manifest.algorithm,
        labels: routing.labels,
      })),
  });
}

export function createGetModelHandler(models: ModelStore): Methods['getModel'] {
  return (request, call) => describeVersion(models.resolve('GetModel', request, call));
}

function describeVersion(served: ServedVersion) {
  const { manifest, publishedAtMs, safeAction, adaptation, device, precision } = served;
  const { policy, critic, context, training } = manifest;
  return {
    model: manifest.model,
    version: manifest.version,
    algorithm: manifest.algorithm,
    environment: manifest.environment,
    fingerprint: manifest.fingerprint,
    observation: tensorSpecFields(manifest.observation),
    action: tensorSpecFields(manifest.action),
    safeAction: [...safeAction],
    ...(context && { context: { spec: tensorSpecFields(context), source: context.source } }),
    ...(policy && {
      policy: { architecture: policy.architecture, hyper: policy.kind === 'hyper', stochastic: policy.stochastic },
    }),
    ...(critic && {
      critic: { architecture: critic.architecture, hyper: critic.kind === 'hyper', ensembleSize: critic.ensembleSize },
    }),
    rewardScale: manifest.rewardScale,
    publishedAt: new Date(publishedAtMs).toISOString(),
    trainingSteps: BigInt(training.steps),
    adaptation: adaptation?.kind ?? '',
    readsNextObservation: adaptation?.kind === 'posterior' && adaptation.readsNextObservation,
    ...(adaptation !== null &&
      training.adaptationEpisodeCount !== undefined && { adaptationEpisodeCount: training.adaptationEpisodeCount }),
    ...(training.taskRange && { taskRange: training.taskRange }),
    device,
    precision,
    evaluations: training.evaluations.map((evaluation) => ({ ...evaluation, step: BigInt(evaluation.step) })),
  };
}

const tensorSpecFields = ({ names, low, high, units }: TensorSpec) => ({
  names,
  low: low.map((value) => value ?? Number.NEGATIVE_INFINITY),
  high: high.map((value) => value ?? Number.POSITIVE_INFINITY),
  units,
});
