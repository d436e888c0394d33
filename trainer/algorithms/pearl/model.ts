/** The published model of PEARL: policy and twin Q whose context is z, and the encoder that infers z. */

import type { ContextSpec, PolicySpecs } from '../../../src/contract/tensor-spec.ts';
import { createNetwork } from '../../../src/nn/network.ts';
import { writeNetwork } from '../../../src/nn/network-file.ts';
import type { Normalisation } from '../../../src/nn/normalisation.ts';
import { shapesOf } from '../../../src/nn/parameters.ts';
import type { TrainedModel } from '../../export/model.ts';
import { infers, type PearlConfig } from './config.ts';
import { type AgentNetworks, criticConfig, policyConfig } from './networks.ts';
import type { PearlParameters } from './parameters.ts';
import { pairsOf } from './tasks.ts';

export type PearlModelOptions = {
  readonly config: PearlConfig;
  readonly networks: AgentNetworks;
  readonly parameters: PearlParameters;
  /** Specs of the environment. */
  readonly specs: PolicySpecs;
  /** Spec of its contexts, if z is the task itself. */
  readonly context: Normalisation | undefined;
};

/** Views of the present parameters: a later update changes them. */
export function pearlModel({ config, networks, parameters, specs, context }: PearlModelOptions): TrainedModel {
  const { policy, q, scaling, encoder } = networks;
  const { trainables } = parameters;
  const units = { scaling, context };
  return {
    rewardScale: config.rewardScale,
    policy: {
      ...units,
      policy,
      parameters: { views: trainables.policy.parameters, shapes: shapesOf(policy.specs) },
    },
    critic: { ...units, critic: q, parameters: { views: trainables.q.parameters, shapes: shapesOf(q.specs) } },
    context: contextOf(config, specs) ?? undefined,
    isWithoutContext: config.agent === 'no-context',
    adaptationEpisodeCount: encoder && config.explorationEpisodeCount,
    taskRange: config.trainRange && taskRangeOf(config.trainRange),
    encoder: encoder && {
      encoder,
      scaling,
      parameters: { views: parameters.encoder!.trainable.parameters, shapes: shapesOf(encoder.specs) },
      prior: 'start',
      readsNextObservation: config.encodesNextObservation,
    },
  };
}

function taskRangeOf(trainRange: readonly number[]): TrainedModel['taskRange'] {
  const pairs = pairsOf(trainRange);
  return { low: pairs.map(([low]) => low), high: pairs.map(([, high]) => high) };
}

/** The policy and the Qs as safetensors files. Names and layouts: src/nn/README.md. */
export function pearlFiles({
  config,
  networks,
  parameters,
  specs,
  context,
}: PearlModelOptions): Map<string, Uint8Array> {
  const { policy, q, scaling } = networks;
  const { trainables } = parameters;
  const use = {
    specs: { ...specs, context: contextOf(config, specs) },
    units: { scaling, context },
    rewardScale: config.rewardScale,
  };
  const { contextSize = 0 } = policy.sizes;
  const policyNetwork = createNetwork({
    kind: 'policy',
    config: policyConfig(config, contextSize),
    sizes: policy.sizes,
  });
  const sizes = { ...q.sizes, ensembleSize: q.ensembleSize };
  const qNetwork = createNetwork({ kind: 'critic', config: criticConfig(config), sizes });
  return new Map([
    ['actor.safetensors', writeNetwork(policyNetwork, trainables.policy.parameters, use)],
    ['critic.safetensors', writeNetwork(qNetwork, trainables.q.parameters, use)],
  ]);
}

const contextOf = ({ agent, latentSize }: PearlConfig, { context }: PolicySpecs): ContextSpec | null =>
  agent === 'no-context' ? null : infers(agent) ? latentContext(latentSize) : context;

/** z has no bounds and no unit. */
const latentContext = (size: number): ContextSpec => ({
  names: Array.from({ length: size }, (_, i) => `z.${i}`),
  low: Array.from({ length: size }, () => null),
  high: Array.from({ length: size }, () => null),
  units: Array.from({ length: size }, () => '1'),
  source: 'latent',
});
