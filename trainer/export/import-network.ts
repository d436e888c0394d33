/**
 * Publishes a network from a safetensors file: one of ours, which says itself how it is used, or a state dict of the reference's
 * PyTorch code, which the options describe.
 */

import { createHash } from 'node:crypto';
import { checkBounds, requireBounds } from '../../src/contract/bounds.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import { type PolicySpecs, plainSpec, specSize, type TensorSpec } from '../../src/contract/tensor-spec.ts';
import { actionScaling, identityScaling } from '../../src/nn/action-scaling.ts';
import { type Network, networkSpecs } from '../../src/nn/network.ts';
import { holdsNetwork, readNetwork } from '../../src/nn/network-file.ts';
import type { NetworkInterface } from '../../src/nn/network-interface.ts';
import { type ParameterViews, shapesOf } from '../../src/nn/parameters.ts';
import type { Policy, PolicySizes } from '../../src/nn/policies/policy.ts';
import { type ReferenceSizes, referenceNetwork, referenceParameters } from '../../src/nn/reference/network.ts';
import type { PublishedPackage } from '../../src/package/package.ts';
import { readSafetensors } from '../../src/package/safetensors.ts';
import { createTracedEngine } from '../engine/traced.ts';
import { publishModel } from './package.ts';

export type ImportOptions = {
  /** Content of the file, and its name for errors and provenance. */
  readonly file: Uint8Array;
  readonly fileName: string;
  /** Architecture of a state dict. A file of ours says its own; one that is given must be the same. */
  readonly architecture?: string | undefined;
  /** As with the architecture. */
  readonly sizes?: { readonly [name in keyof ReferenceSizes]?: number | undefined } | undefined;
  /** One value for all actions or one each; unbounded if absent. A file of ours with an interface has its own. */
  readonly actionLow?: readonly number[] | undefined;
  readonly actionHigh?: readonly number[] | undefined;
  readonly store: string;
  readonly model: string;
};

/** A network with all that it needs to act. */
type Source = { readonly network: Network; readonly parameters: ParameterViews; readonly use: NetworkInterface };

/**
 * Reads and publishes a policy or a critic.
 *
 * - A file of ours with an interface acts as the network did where it was written: its specs, scaling and normalisation are taken.
 * - One without has normalised actions, which are mapped onto the bounds that are given.
 * - The actions of a state dict are the environment's: they are clipped to the bounds that are given and not scaled.
 * @throws HyperpolicyError invalid_argument: a malformed file, a tensor whose name or shape does not fit, options that are missing or
 *   are not those of the file, bounds that cannot be; and those of publishPackage
 */
export async function importNetwork(options: ImportOptions): Promise<PublishedPackage> {
  const { file, fileName } = options;
  const { network, parameters, use } = readSource(options);
  const { sizes, config, kind } = network.description;
  const trained = { parameters: { views: parameters, shapes: shapesOf(networkSpecs(network)) }, ...use.units };
  return publishModel({
    store: options.store,
    model: options.model,
    algorithm: 'import',
    environment: 'none',
    specs: use.specs,
    rewardScale: use.rewardScale,
    policy:
      network.kind === 'policy'
        ? { ...trained, policy: network.policy, unreadContextSize: unreadContextSize(network.policy, use) }
        : null,
    critic: network.kind === 'critic' ? { ...trained, critic: network.critic } : null,
    training: {
      config: {
        file: fileName,
        sha256: createHash('sha256').update(file).digest('hex'),
        architecture: options.architecture ?? config.architecture,
        sizes,
        network: { kind, config, sizes },
      },
      seed: 0,
      steps: 0,
      evaluations: [],
      sourceRevision: 'unknown',
    },
    engine: createTracedEngine({ threadCount: 1 }),
  });
}

/** Values of a context that the specs have and the policy does not read. */
const unreadContextSize = ({ sizes }: Policy, { specs: { context } }: NetworkInterface): number =>
  context === null || (sizes.contextSize ?? 0) > 0 ? 0 : specSize(context);

function readSource(options: ImportOptions): Source {
  const { file, fileName } = options;
  const content = readSafetensors(file, fileName);
  if (holdsNetwork(content)) {
    const { network, parameters, use } = readNetwork(content, fileName);
    checkOwn(network, options);
    if (use !== undefined) return { network, parameters, use: ownInterface(use, options) };
    const specs = specsOf(network.description.sizes, options);
    if (options.actionLow !== undefined || options.actionHigh !== undefined)
      requireBounds(`import ${fileName}`, specs.action);
    return { network, parameters, use: { specs, units: { scaling: actionScaling(specs.action) }, rewardScale: 1 } };
  }
  const { architecture, sizes } = described(options);
  const shapes = new Map([...content.tensors].map(([name, { shape }]) => [name, shape]));
  const reference = referenceNetwork(architecture, sizes, shapes);
  const values = new Map([...content.tensors].map(([name, { data }]) => [name, data]));
  const specs = specsOf(sizes, options);
  return {
    network: reference.network,
    parameters: referenceParameters(reference, values),
    use: { specs, units: { scaling: identityScaling(specs.action) }, rewardScale: 1 },
  };
}

/** Facts about a state dict that only the caller knows. */
function described({ fileName, architecture, sizes = {} }: ImportOptions): {
  architecture: string;
  sizes: ReferenceSizes;
} {
  const { observationSize, actionSize, contextSize = 0 } = sizes;
  if (architecture !== undefined && observationSize !== undefined && actionSize !== undefined) {
    return { architecture, sizes: { observationSize, actionSize, contextSize } };
  }
  throw invalidArgument({
    where: fileName,
    expected: 'an architecture and the sizes of observation and action, as the file does not describe itself',
    actual: Object.entries({ architecture, observationSize, actionSize })
      .map(([name, value]) => `${name} ${value ?? 'none'}`)
      .join(', '),
    remedy: 'Give --architecture, --observation-size and --action-size',
  });
}

/** Options must agree with those in the file. */
function checkOwn({ description }: Network, { fileName, architecture, sizes = {} }: ImportOptions): void {
  const text = (name: string, observation: number, action: number, context: number) =>
    `${name} with observation ${observation}, action ${action}, context ${context}`;
  const { observationSize, actionSize, contextSize = 0 } = description.sizes;
  const own = description.config.architecture;
  const given = architecture === 'pearl-hyper-critic' ? 'sa-hyper' : architecture;
  const expected = text(own, observationSize, actionSize, contextSize);
  const actual = text(
    given ?? own,
    sizes.observationSize ?? observationSize,
    sizes.actionSize ?? actionSize,
    sizes.contextSize ?? contextSize,
  );
  if (expected !== actual) throw invalidArgument({ where: fileName, expected, actual });
}

/** The file's own interface. Bounds that are given must agree with it. */
function ownInterface(use: NetworkInterface, { fileName, actionLow, actionHigh }: ImportOptions): NetworkInterface {
  const { action, context } = use.specs;
  for (const [where, own, given] of [
    ['action-low', action.low, actionLow],
    ['action-high', action.high, actionHigh],
  ] as const) {
    if (given === undefined) continue;
    const values = boundsOf(where, given, own.length);
    if (values.every((value, i) => value === own[i])) continue;
    throw invalidArgument({
      where: `import ${where}`,
      expected: `${own.map((value) => value ?? 'none').join(', ')}, as ${fileName} says`,
      actual: given.join(', '),
      remedy: 'Leave the option out: the network was trained with these bounds',
    });
  }
  return { ...use, specs: { ...use.specs, context: context && { ...context, source: 'oracle' } } };
}

function specsOf(
  { observationSize, actionSize, contextSize = 0 }: PolicySizes,
  { actionLow, actionHigh }: ImportOptions,
): PolicySpecs {
  const action: TensorSpec = {
    ...plainSpec('action', actionSize),
    low: boundsOf('action-low', actionLow, actionSize),
    high: boundsOf('action-high', actionHigh, actionSize),
  };
  checkBounds('import action', { low: action.low, high: action.high }, { low: 'action-low', high: 'action-high' });
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
