/** Every architecture by name, with what it costs: parameters, forward FLOPs, and bytes of generated weights per context. */

import { sizeOf } from '../contract/counts.ts';
import { createEncoder, encoderNames } from './encoders/registry.ts';
import type { Hypernetwork, HyperOptions } from './hyper/hypernetwork.ts';
import { criticNames } from './names.ts';
import { createNetwork, type Network, type NetworkDescription, networkSpecs } from './network.ts';
import { type ParameterSpecs, parameterCount } from './parameters.ts';
import { policyNames, policyNeedsContext } from './policies/registry.ts';
import { referenceNames } from './reference/network.ts';

export type ArchitectureSizes = {
  readonly observationSize: number;
  readonly actionSize: number;
  /** Of the networks that have a context. */
  readonly contextSize: number;
};

export type Architecture = {
  readonly name: string;
  readonly kind: 'critic' | 'policy' | 'encoder';
  /** Of one network: one Q function of a critic. */
  readonly parameters: number;
  /** Multiplies and adds of all products for one row (an encoder: one transition), generation included. */
  readonly flops: number;
  /** Those that remain once the weights of a context are generated; all of them without a hypernetwork. */
  readonly cachedFlops: number;
  /**
   * Whether a state dict of the PyTorch code of Sarafian et al. 2021 can be imported as this architecture: the paper's nine critics and
   * its meta-RL networks.
   */
  readonly isImported: boolean;
  /** Float32 weights that a primary generates for one context; 0 without a hypernetwork. */
  readonly generatedBytes: number;
};

/** Options under which a hypernetwork is listed a second time, as `<name> <label>`. */
const variants: readonly (readonly [string, HyperOptions])[] = [
  ['rank 16', { headRank: 16 }],
  ['layer norm', { trunkLayerNorm: true }],
  ['d2rl 2 x 128', { dynamicDense: true, dynamicHiddenSizes: [128, 128] }],
];
const withVariants = ['sa-hyper', 'hyper-maml'];

/** The table of all architectures at these sizes, critics first. */
export function listArchitectures(sizes: ArchitectureSizes): Architecture[] {
  const { observationSize, actionSize, contextSize } = sizes;
  const plain = { observationSize, actionSize };
  const critic = (architecture: string, context: number): NetworkDescription => ({
    kind: 'critic',
    config: { architecture },
    sizes: { ...plain, contextSize: context, ensembleSize: 1 },
  });
  const policy = (architecture: string): NetworkDescription => ({
    kind: 'policy',
    config: { architecture },
    sizes: { ...plain, contextSize: policyNeedsContext(architecture) ? contextSize : 0 },
  });
  const named: (readonly [string, NetworkDescription])[] = [
    ...criticNames.map((name) => [name, critic(name, 0)] as const),
    ['pearl-hyper-critic', critic('sa-hyper', contextSize)],
    ...policyNames.map((name) => [name, policy(name)] as const),
  ];
  const networks = named.flatMap(([name, description]) => [
    costs(name, description),
    ...(withVariants.includes(name)
      ? variants.map(([label, options]) => costs(`${name} ${label}`, withOptions(description, options)))
      : []),
  ]);
  const encoders = encoderNames.map((architecture) => {
    const transitionSize = observationSize + actionSize + 1;
    const { specs } = createEncoder({ architecture }, { transitionSize, latentSize: contextSize });
    return costsOf({ name: architecture, kind: 'encoder' }, specs, undefined);
  });
  return [...networks, ...encoders];
}

const withOptions = (description: NetworkDescription, options: HyperOptions): NetworkDescription =>
  ({ ...description, config: { ...description.config, ...options } }) as NetworkDescription;

function costs(name: string, description: NetworkDescription): Architecture {
  const network = createNetwork(description);
  return costsOf({ name, kind: network.kind }, networkSpecs(network), hypernetworkOf(network));
}

const hypernetworkOf = (network: Network): Hypernetwork | undefined =>
  network.kind === 'policy' ? network.policy.hypernetwork : network.critic.member.hypernetwork;

/** Every matrix takes part in one product per row, and every generated weight in one of the dynamic network. */
function costsOf(
  named: Pick<Architecture, 'name' | 'kind'>,
  specs: ParameterSpecs,
  hypernetwork: Hypernetwork | undefined,
): Architecture {
  const products = (isCounted: (name: string) => boolean) =>
    Object.entries(specs).reduce(
      (sum, [name, { shape }]) => (shape.length === 2 && isCounted(name) ? sum + sizeOf(shape) : sum),
      0,
    );
  const generated = hypernetwork?.generatedProducts ?? 0;
  const isFactor = (name: string) => /head\d+\.(base|left|right)$/.test(name);
  return {
    ...named,
    isImported: referenceNames.includes(named.name),
    parameters: parameterCount(specs),
    flops: 2 * (products(() => true) + generated),
    cachedFlops: 2 * (products(hypernetwork === undefined ? () => true : isFactor) + generated),
    generatedBytes: 4 * (hypernetwork?.generatedCount ?? 0),
  };
}
