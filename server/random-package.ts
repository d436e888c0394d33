/** Publishes a package with random parameters, of any kind that the manifest allows: to test and load a server without a trainer. */

import { invalidArgument } from '../src/contract/errors.ts';
import { createRandom } from '../src/contract/random.ts';
import { type PolicySpecs, plainSpec, specSize } from '../src/contract/tensor-spec.ts';
import { floatTensor, indexTensor, openSession, type TensorMap } from '../src/onnx/session.ts';
import type { Graph, Probe, ProbeTensor } from '../src/package/manifest.ts';
import { type ManifestDraft, type PublishedPackage, publishPackage } from '../src/package/package.ts';
import { adaptGraph, encoderGraph } from './random-adaptation.ts';
import {
  type BuiltGraph,
  hyperCriticGraphs,
  hyperPolicyGraphs,
  type NetworkSizes,
  plainCriticGraph,
  plainPolicyGraph,
} from './random-graphs.ts';

export type NetworkKind = 'plain' | 'hyper' | 'none';

export type RandomPackageOptions = Partial<NetworkSizes> & {
  readonly store: string;
  readonly model: string;
  readonly policy: NetworkKind;
  readonly critic: NetworkKind;
  /** The policy can be sampled. */
  readonly stochastic?: boolean;
  readonly contextSource?: 'oracle' | 'latent';
  /** Infers the context, which is latent then. */
  readonly encoder?: boolean;
  /** An inner step on a hyper policy's weights; it must be stochastic. */
  readonly adapt?: boolean;
  /** Named in the manifest; its specs give the sizes. */
  readonly environment?: PolicySpecs & { readonly name: string };
  readonly seed?: number;
};

/** HalfCheetah's sizes and a small trunk; a hyper policy gets a context of two values, an encoder too. */
const defaultSizes: NetworkSizes = {
  observationSize: 17,
  actionSize: 6,
  contextSize: 0,
  hiddenSize: 64,
  trunkSizes: [64],
};

const specSizes = ({ observation, action, context }: PolicySpecs) => ({
  observationSize: specSize(observation),
  actionSize: specSize(action),
  contextSize: context === null ? 0 : specSize(context),
});

type Network = { readonly kind: 'plain' | 'hyper'; readonly graphs: readonly BuiltGraph[] };

/** @throws HyperpolicyError as publishPackage */
export async function publishRandomPackage(options: RandomPackageOptions): Promise<PublishedPackage> {
  const { store, model, policy: policyKind, critic: criticKind, stochastic = false, seed = 1 } = options;
  const { environment, encoder: hasEncoder = false, adapt: hasStep = false } = options;
  if (hasStep && !(policyKind === 'hyper' && stochastic)) {
    const actual = `a ${stochastic ? 'stochastic' : 'deterministic'} ${policyKind} one`;
    throw invalidArgument({ where: 'make-random adapt', expected: 'a stochastic hyper policy', actual });
  }
  const given = { ...defaultSizes, ...options, ...(environment && specSizes(environment)) };
  const sizes = { ...given, contextSize: given.contextSize || (policyKind === 'hyper' || hasEncoder ? 2 : 0) };
  const policy = randomPolicy(policyKind, sizes, { seed, stochastic });
  const critic = randomCritic(criticKind, sizes, seed + 1);
  const encoder = hasEncoder ? encoderGraph(sizes, seed + 2) : null;
  const adapt = hasStep ? adaptGraph(sizes, { stepSize: innerStepSize }) : null;
  const built = [
    ...(policy?.graphs ?? []),
    ...(critic?.graphs ?? []),
    ...[encoder, adapt].filter((one) => one !== null),
  ];
  const { observationSize, actionSize, contextSize } = sizes;
  const probes = [
    ...(policy === null ? [] : [probePolicy(policy, sizes, { seed, stochastic })]),
    ...(critic === null ? [] : [probeCritic(critic, sizes, seed)]),
    ...(encoder === null ? [] : [probeEncoder(encoder, sizes, seed)]),
    ...(adapt === null ? [] : [probeStep(adapt, policy, sizes, seed)]),
  ];
  const manifest: ManifestDraft = {
    algorithm: 'random',
    environment: environment?.name ?? 'none',
    observation: environment?.observation ?? plainSpec('observation', observationSize),
    action: environment?.action ?? plainSpec('action', actionSize, { low: -1, high: 1 }),
    context: contextSpec(options, contextSize),
    rewardScale: 1,
    normalisation: {},
    policy: policy && { ...asNetwork(policy), architecture: policy.kind === 'plain' ? 'mlp' : 'hyper', stochastic },
    critic: critic && {
      ...asNetwork(critic),
      architecture: critic.kind === 'plain' ? 'mlp-small' : 'sa-hyper',
      ensembleSize: 2,
    },
    encoder: encoder && { ...encoder.graph, prior: 'start' },
    adapt: adapt && { ...adapt.graph, discount: 0.95, lambda: 1 },
    probes,
    training: { config: {}, seed, steps: 0, evaluations: [], sourceRevision: 'random' },
  };
  const files = new Map(built.map(({ graph, bytes }) => [graph.file, bytes]));
  return publishPackage({ store, model, manifest, files });
}

/** Of the random inner step: small against the weights. */
const innerStepSize = 0.001;

function contextSpec(
  { environment, contextSource = 'oracle', encoder }: RandomPackageOptions,
  contextSize: number,
): ManifestDraft['context'] {
  if (encoder === true) return { ...plainSpec('latent', contextSize), source: 'latent' };
  if (environment?.context) return environment.context;
  return contextSize === 0 ? null : { ...plainSpec('context', contextSize), source: contextSource };
}

function randomPolicy(
  kind: NetworkKind,
  sizes: NetworkSizes,
  options: { seed: number; stochastic: boolean },
): Network | null {
  if (kind === 'none') return null;
  if (kind === 'plain') return { kind, graphs: [plainPolicyGraph(sizes, options)] };
  const { primary, dynamic } = hyperPolicyGraphs(sizes, options);
  return { kind, graphs: [primary, dynamic] };
}

function randomCritic(kind: NetworkKind, sizes: NetworkSizes, seed: number): Network | null {
  if (kind === 'none') return null;
  if (kind === 'plain') return { kind, graphs: [plainCriticGraph(sizes, seed)] };
  const { primary, dynamic } = hyperCriticGraphs(sizes, seed);
  return { kind, graphs: [primary, dynamic] };
}

/** The manifest's fields of a network. */
function asNetwork({ kind, graphs }: Network) {
  const [first, second] = graphs.map(({ graph }) => graph) as [Graph, Graph];
  return kind === 'plain' ? { kind, graph: first } : { kind, primary: first, dynamic: second };
}

const probeRowCount = 3;

function normals(seed: number, stream: number, shape: [number, number]): ProbeTensor {
  const random = createRandom(seed, stream);
  return { shape, values: Array.from({ length: shape[0] * shape[1] }, () => Math.fround(random.normal())) };
}

function probePolicy(
  policy: Network,
  { observationSize, actionSize, contextSize }: NetworkSizes,
  { seed, stochastic }: { seed: number; stochastic: boolean },
): Probe {
  const inputs: Record<string, ProbeTensor> = { observation: normals(seed, 1, [probeRowCount, observationSize]) };
  if (contextSize > 0) inputs.context = normals(seed, 2, [probeRowCount, contextSize]);
  if (stochastic) inputs.noise = normals(seed, 3, [probeRowCount, actionSize]);
  return { target: 'policy', inputs, outputs: evaluate(policy, inputs, 'context'), tolerance: 1e-4 };
}

function probeCritic(critic: Network, { observationSize, actionSize }: NetworkSizes, seed: number): Probe {
  const inputs = {
    observation: normals(seed, 4, [probeRowCount, observationSize]),
    action: normals(seed, 5, [probeRowCount, actionSize]),
  };
  return { target: 'critic', inputs, outputs: evaluate(critic, inputs, 'observation'), tolerance: 1e-4 };
}

/** One value per row. */
const normalColumn = (seed: number, stream: number): ProbeTensor => ({
  shape: [probeRowCount],
  values: normals(seed, stream, [probeRowCount, 1]).values,
});

function probeSteps({ observationSize, actionSize }: NetworkSizes, seed: number): Record<string, ProbeTensor> {
  const actions = normals(seed, 7, [probeRowCount, actionSize]);
  return {
    observation: normals(seed, 6, [probeRowCount, observationSize]),
    action: { ...actions, values: actions.values.map((value) => Math.fround(Math.tanh(value))) },
  };
}

function probeEncoder(encoder: BuiltGraph, sizes: NetworkSizes, seed: number): Probe {
  const inputs = { ...probeSteps(sizes, seed), reward: normalColumn(seed, 8) };
  const outputs = asProbeTensors(runOnce(encoder, feedsOf(inputs)));
  return { target: 'encoder', inputs, outputs, tolerance: 1e-4 };
}

function probeStep(step: BuiltGraph, policy: Network | null, sizes: NetworkSizes, seed: number): Probe {
  const context = normals(seed, 9, [1, sizes.contextSize]);
  const inputs = { ...probeSteps(sizes, seed), coefficient: normalColumn(seed, 10) };
  const weights = policy?.kind === 'hyper' ? runOnce(policy.graphs[0]!, feedsOf({ context })) : {};
  const outputs = asProbeTensors(runOnce(step, { ...feedsOf(inputs), ...weights }));
  return { target: 'adapt', inputs: { ...inputs, context }, outputs, tolerance: 1e-4 };
}

function runOnce({ graph, bytes }: BuiltGraph, feeds: TensorMap): TensorMap {
  const session = openSession(bytes, { threadCount: 1 }, graph.file);
  const result = session.run(feeds);
  session.dispose();
  return result;
}

const feedsOf = (inputs: Readonly<Record<string, ProbeTensor>>): TensorMap =>
  Object.fromEntries(
    Object.entries(inputs).map(([name, { shape, values }]) => [name, floatTensor(Float32Array.from(values), shape)]),
  );

const asProbeTensors = (outputs: TensorMap): Probe['outputs'] =>
  Object.fromEntries(
    Object.entries(outputs).map(([name, { dims, data }]) => [
      name,
      { shape: [...dims], values: Array.from(data as Float32Array) },
    ]),
  );

/** Runs a network's graphs over the inputs, without the server's code. */
function evaluate({ kind, graphs }: Network, inputs: Record<string, ProbeTensor>, meta: string): Probe['outputs'] {
  const feeds = feedsOf(inputs);
  let result: TensorMap;
  if (kind === 'plain') {
    result = runOnce(graphs[0]!, feeds);
  } else {
    const { [meta]: metaFeed, ...base } = feeds;
    const weights = runOnce(graphs[0]!, { [meta]: metaFeed! });
    const index = indexTensor(Int32Array.from({ length: probeRowCount }, (_, row) => row));
    result = runOnce(graphs[1]!, { ...base, ...weights, index });
  }
  return asProbeTensors(result);
}
