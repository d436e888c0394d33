/** From trained networks to a published model package with probes. */

import { invalidArgument } from '../../src/contract/errors.ts';
import { type SpecSizes, specSizes } from '../../src/contract/tensor-spec.ts';
import type { Units } from '../../src/nn/units.ts';
import type { Manifest } from '../../src/package/manifest.ts';
import { type ManifestDraft, type PublishedPackage, publishPackage } from '../../src/package/package.ts';
import { type EncoderExport, exportEncoder, exportStep } from './adaptation.ts';
import { exportCritic } from './critic.ts';
import type { NetworkFiles } from './graphs.ts';
import type { ModelToExport, ModelToPublish } from './model.ts';
import { exportPolicy } from './policy.ts';
import { probes } from './probes.ts';
import { exportAdaptation, exportTaskPolicy } from './task-policy.ts';

/** The content of a version before it is published. */
export type PackageContent = { readonly manifest: ManifestDraft; readonly files: ReadonlyMap<string, Uint8Array> };

/** Exports, probes and publishes. Errors: those of exportModel and publishPackage. */
export const publishModel = async ({ store, ...model }: ModelToPublish): Promise<PublishedPackage> =>
  publishPackage({ store, model: model.model, ...exportModel(model) });

/**
 * Exports the networks and computes the probes.
 * @throws HyperpolicyError invalid_argument: networks whose sizes are not those of the specs; a policy that the step cannot adapt
 */
export function exportModel(given: ModelToExport): PackageContent {
  const specs = {
    ...given.specs,
    ...(given.context !== undefined && { context: given.context }),
    ...(given.isWithoutContext === true && { context: null }),
  };
  const options = { ...given, specs };
  const { policy, critic, encoder, adaptation, adaptationEpisodeCount, taskRange, training } = options;
  checkSizes(options);
  const policyFiles = policy && (adaptation === undefined ? exportPolicy(policy) : exportTaskPolicy(policy));
  const criticFiles = critic && exportCritic(critic);
  const encoderFile = encoder && exportEncoder(encoder, specSizes(specs));
  const adapt = adaptationOf(options, policyFiles);
  const networks = [policyFiles, criticFiles].flatMap((network) => (network === null ? [] : filesOf(network)));
  const files = [...networks, ...[encoderFile, adapt?.file].filter((file) => file !== undefined)];
  return {
    files: new Map(files.map(({ graph, bytes }) => [graph.file, bytes])),
    manifest: {
      algorithm: options.algorithm,
      environment: options.environment,
      observation: specs.observation,
      action: specs.action,
      context: specs.context,
      rewardScale: options.rewardScale,
      normalisation: normalisationOf((policy ?? critic)!),
      policy: policy && {
        ...entryOf(policyFiles!),
        architecture: policy.policy.architecture,
        stochastic: policy.policy.distribution !== 'deterministic',
      },
      critic: critic && {
        ...entryOf(criticFiles!),
        architecture: critic.critic.member.architecture,
        ensembleSize: critic.critic.ensembleSize as 1 | 2,
      },
      encoder:
        encoder && encoderFile
          ? { ...encoderFile.graph, prior: encoder.prior, aggregation: encoder.encoder.steps.aggregation }
          : null,
      adapt: adapt === undefined ? null : { ...adapt.file.graph, ...adapt.settings },
      training: {
        ...training,
        ...(adaptationEpisodeCount !== undefined && { adaptationEpisodeCount }),
        ...(taskRange !== undefined && { taskRange }),
      },
      probes: probes(options, adapt?.file.graph),
    },
  };
}

/** The adaptation of the policy: its graph, and its fields in the manifest. */
function adaptationOf({ policy, step, adaptation }: ModelToExport, files: NetworkFiles | null) {
  if (adaptation !== undefined) {
    const { discount, lambda, weighting } = adaptation;
    const settings = { from: 'parameters' as const, discount, lambda, weighting };
    return { file: exportAdaptation(policy, adaptation), settings };
  }
  if (step === undefined) return undefined;
  return { file: exportStep(policy, step, files), settings: { discount: step.discount, lambda: step.lambda } };
}

/** Networks must have the sizes of the specs. Without this check only a server would refuse the package. */
function checkSizes({ model, specs, policy, critic, encoder }: ModelToExport): void {
  const text = ({ observationSize, actionSize, contextSize }: SpecSizes) =>
    `observation ${observationSize}, action ${actionSize}, context ${contextSize}`;
  const own = specSizes(specs);
  const expected = text(own);
  for (const [name, sizes] of Object.entries({ policy: policy?.policy.sizes, critic: critic?.critic.sizes })) {
    if (sizes === undefined) continue;
    // A network may leave the context to the other one.
    const actual = text({ ...sizes, contextSize: sizes.contextSize || own.contextSize });
    if (actual !== expected) throw invalidArgument({ where: `publish "${model}" ${name}`, expected, actual });
  }
  if (encoder !== undefined) checkEncoder(model, encoder, own);
}

function checkEncoder(
  model: string,
  { encoder: { sizes }, readsNextObservation = false }: EncoderExport,
  { observationSize, actionSize, contextSize }: SpecSizes,
): void {
  const text = (transition: number, latent: number) => `transition ${transition}, latent ${latent}`;
  const nextSize = readsNextObservation ? observationSize : 0;
  const expected = text(observationSize + actionSize + 1 + nextSize, contextSize);
  const actual = text(sizes.transitionSize, sizes.latentSize);
  if (actual !== expected) throw invalidArgument({ where: `publish "${model}" encoder`, expected, actual });
}

const filesOf = (network: NetworkFiles) =>
  network.kind === 'plain' ? [network.graph] : [network.primary, network.dynamic];

const entryOf = (network: NetworkFiles) =>
  network.kind === 'plain'
    ? { kind: network.kind, graph: network.graph.graph }
    : { kind: network.kind, primary: network.primary.graph, dynamic: network.dynamic.graph };

function normalisationOf({ observation, context }: Units): Manifest['normalisation'] {
  const constants = Object.entries({ observation, context }).flatMap(([name, normalisation]) =>
    normalisation === undefined
      ? []
      : [
          [`${name}.shift`, [...normalisation.shift]],
          [`${name}.scale`, [...normalisation.scale]],
        ],
  );
  return Object.fromEntries(constants) as Manifest['normalisation'];
}
