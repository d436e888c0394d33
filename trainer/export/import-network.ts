/** Publishes a network from a safetensors file: one of ours, or a state dict of the reference's PyTorch code. */

import { createHash } from 'node:crypto';
import { invalidArgument } from '../../src/contract/errors.ts';
import { type PolicySpecs, plainSpec, type TensorSpec } from '../../src/contract/tensor-spec.ts';
import { identityScaling } from '../../src/nn/action-scaling.ts';
import { type Network, networkSpecs } from '../../src/nn/network.ts';
import { holdsNetwork, readNetwork } from '../../src/nn/network-file.ts';
import { type ParameterViews, shapesOf } from '../../src/nn/parameters.ts';
import type { PolicySizes } from '../../src/nn/policies/policy.ts';
import { type ReferenceSizes, referenceNetwork, referenceParameters } from '../../src/nn/reference/network.ts';
import type { PublishedPackage } from '../../src/package/package.ts';
import { readSafetensors } from '../../src/package/safetensors.ts';
import { createTracedEngine } from '../engine/traced.ts';
import { publishModel } from './package.ts';

export type ImportOptions = {
  /** Content of the file, and its name for errors and provenance. */
  readonly file: Uint8Array;
  readonly fileName: string;
  readonly architecture: string;
  readonly sizes: ReferenceSizes;
  /** One value for all actions or one each; unbounded, and nothing is clipped, where absent. */
  readonly actionLow?: readonly number[] | undefined;
  readonly actionHigh?: readonly number[] | undefined;
  readonly store: string;
  readonly model: string;
};

/**
 * Reads and publishes a policy or a critic. Normalisations are the identity: the network's actions are the environment's.
 * @throws HyperpolicyError invalid_argument: a malformed file, a tensor whose name or shape does not fit, bounds that do not;
 *   and those of publishPackage
 */
export async function importNetwork(options: ImportOptions): Promise<PublishedPackage> {
  const { file, fileName, sizes, architecture } = options;
  const { network, parameters } = readFile(options);
  const specs = specsOf(options);
  const scaling = identityScaling(specs.action);
  const trained = { parameters: { views: parameters, shapes: shapesOf(networkSpecs(network)) }, scaling };
  return publishModel({
    store: options.store,
    model: options.model,
    algorithm: 'import',
    environment: 'none',
    specs,
    rewardScale: 1,
    policy: network.kind === 'policy' ? { ...trained, policy: network.policy } : null,
    critic: network.kind === 'critic' ? { ...trained, critic: network.critic } : null,
    training: {
      config: {
        file: fileName,
        sha256: createHash('sha256').update(file).digest('hex'),
        architecture,
        sizes,
        network: network.description,
      },
      seed: 0,
      steps: 0,
      evaluations: [],
      sourceRevision: 'unknown',
    },
    engine: createTracedEngine({ threadCount: 1 }),
  });
}

function readFile({ file, fileName, architecture, sizes }: ImportOptions): {
  network: Network;
  parameters: ParameterViews;
} {
  const content = readSafetensors(file, fileName);
  if (holdsNetwork(content)) {
    const read = readNetwork(content, fileName);
    checkOwn(read.network, { fileName, architecture, sizes });
    return read;
  }
  const shapes = new Map([...content.tensors].map(([name, { shape }]) => [name, shape]));
  const reference = referenceNetwork(architecture, sizes, shapes);
  const values = new Map([...content.tensors].map(([name, { data }]) => [name, data]));
  return { network: reference.network, parameters: referenceParameters(reference, values) };
}

/** The options must say what a file of ours says itself. */
function checkOwn(
  { description }: Network,
  { fileName, architecture, sizes }: Pick<ImportOptions, 'fileName' | 'architecture' | 'sizes'>,
): void {
  const text = (name: string, { observationSize, actionSize, contextSize = 0 }: PolicySizes) =>
    `${name} with observation ${observationSize}, action ${actionSize}, context ${contextSize}`;
  const expected = text(description.config.architecture, description.sizes);
  const actual = text(architecture === 'pearl-hyper-critic' ? 'sa-hyper' : architecture, sizes);
  if (expected !== actual) throw invalidArgument({ where: fileName, expected, actual });
}

function specsOf({ sizes, actionLow, actionHigh }: ImportOptions): PolicySpecs {
  const { observationSize, actionSize, contextSize } = sizes;
  const action: TensorSpec = {
    ...plainSpec('action', actionSize),
    low: boundsOf('action-low', actionLow, actionSize),
    high: boundsOf('action-high', actionHigh, actionSize),
  };
  action.low.forEach((low, i) => {
    const high = action.high[i];
    if (low === null || high === null || high === undefined || low < high) return;
    throw invalidArgument({
      where: `import action value ${i}`,
      expected: 'action-low below action-high',
      actual: `${low} and ${high}`,
    });
  });
  return {
    observation: plainSpec('observation', observationSize),
    action,
    // Without an encoder beside it, even a latent context comes from the client.
    context: contextSize === 0 ? null : { ...plainSpec('context', contextSize), source: 'oracle' },
  };
}

function boundsOf(where: string, given: readonly number[] | undefined, actionSize: number): (number | null)[] {
  if (given === undefined) return Array.from({ length: actionSize }, () => null);
  if (given.length !== 1 && given.length !== actionSize) {
    throw invalidArgument({
      where: `import ${where}`,
      expected: `1 value, or one per action (${actionSize})`,
      actual: `${given.length}`,
    });
  }
  return Array.from({ length: actionSize }, (_, i) => given[i] ?? given[0]!);
}
