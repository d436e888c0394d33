/** From trained networks to a published model package with probes. */

import * as tf from '@tensorflow/tfjs-core';
import { toNormalised } from '../../src/nn/action-scaling.ts';
import { memberQ } from '../../src/nn/critics/critic.ts';
import { normalise } from '../../src/nn/normalisation.ts';
import { under } from '../../src/nn/parameters.ts';
import { policyOutput } from '../../src/nn/policies/policy.ts';
import { invalidArgument } from '../../src/spec/errors.ts';
import type { Manifest, Probe } from '../../src/spec/manifest.ts';
import { type ManifestDraft, type PublishedPackage, publishPackage } from '../../src/spec/package.ts';
import { createRandom, type Random } from '../../src/spec/random.ts';
import { type PolicySpecs, specSize, type TensorSpec } from '../../src/spec/tensor-spec.ts';
import { boundParameters, type Engine } from '../engine/engine.ts';
import { type CriticExport, exportCritic } from './critic.ts';
import type { NetworkFiles, Units } from './graphs.ts';
import { exportPolicy, type PolicyExport, policyResults } from './policy.ts';

export type ModelToPublish = {
  readonly store: string;
  readonly model: string;
  readonly algorithm: string;
  readonly environment: string;
  readonly specs: PolicySpecs;
  readonly rewardScale: number;
  /** At least one of the two. */
  readonly policy: PolicyExport | null;
  readonly critic: CriticExport | null;
  readonly training: ManifestDraft['training'];
  /** Computes the probes' outputs from the live parameters, apart from the exported files. */
  readonly engine: Engine;
};

const probeRows = 4;
const probeTolerance = 1e-4;
const probeStream = 0x70726f62;

/** Exports, probes and publishes. Errors: those of publishPackage. */
export async function publishModel(options: ModelToPublish): Promise<PublishedPackage> {
  const { specs, policy, critic, training } = options;
  checkSizes(options);
  const policyFiles = policy && exportPolicy(policy);
  const criticFiles = critic && exportCritic(critic);
  const files = [policyFiles, criticFiles].flatMap((network) => (network === null ? [] : filesOf(network)));
  return publishPackage({
    store: options.store,
    model: options.model,
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
      encoder: null,
      adapt: null,
      training,
      probes: probes(options),
    },
  });
}

/** A package whose specs are not its networks' would be refused only when it is loaded. */
function checkSizes({ model, specs, policy, critic }: ModelToPublish): void {
  const text = (observation: number, action: number, context: number) =>
    `observation ${observation}, action ${action}, context ${context}`;
  const contextSize = specs.context === null ? 0 : specSize(specs.context);
  const expected = text(specSize(specs.observation), specSize(specs.action), contextSize);
  for (const [name, sizes] of Object.entries({ policy: policy?.policy.sizes, critic: critic?.critic.sizes })) {
    if (sizes === undefined) continue;
    // A network may leave the context to the other one.
    const actual = text(sizes.observationSize, sizes.actionSize, sizes.contextSize || contextSize);
    if (actual !== expected) throw invalidArgument({ where: `publish "${model}" ${name}`, expected, actual });
  }
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

/** Inputs with what the networks make of them at a fixed batch size. */
function probes(options: ModelToPublish): Probe[] {
  const { policy, critic } = options;
  return [
    ...(policy === null ? [] : [policyProbe(options, policy)]),
    ...(critic === null ? [] : [criticProbe(options, critic)]),
  ];
}

function policyProbe({ specs, engine }: ModelToPublish, options: PolicyExport): Probe {
  const { policy, parameters } = options;
  const random = createRandom(0, probeStream);
  const stochastic = policy.distribution !== 'deterministic';
  const inputs = {
    observation: probeInput(random, specs.observation),
    ...((policy.sizes.contextSize ?? 0) > 0 && { context: probeInput(random, specs.context!) }),
    ...(stochastic && { noise: normals(random, specSize(specs.action)) }),
  };
  const outputs = { action: rows(specSize(specs.action)), ...(stochastic && { log_prob: rows() }) };
  const computation = engine.compile({
    name: 'policy-probe',
    inputs: { ...boundParameters('policy', parameters.views, parameters.shapes), ...inputs },
    outputs: dataOf(outputs),
    fn: ({ observation, context, noise, ...rest }) => {
      const output = policyOutput(
        policy,
        under('policy', rest),
        normalise(options.observation, observation as tf.Tensor2D),
        context && normalise(options.context, context as tf.Tensor2D),
      );
      return policyResults(options, output, noise);
    },
  });
  computation.run();
  computation.dispose();
  return { target: 'policy', inputs: numbers(inputs), outputs: numbers(outputs), tolerance: probeTolerance };
}

function criticProbe({ specs, engine }: ModelToPublish, options: CriticExport): Probe {
  const { critic, parameters, scaling } = options;
  const { actionSize, contextSize = 0 } = critic.sizes;
  const random = createRandom(1, probeStream);
  const inputs = {
    observation: probeInput(random, specs.observation),
    action: probeInput(random, specs.action),
    ...(contextSize > 0 && { context: probeInput(random, specs.context!) }),
  };
  const outputs = { q: rows(critic.ensembleSize), dq_da: rows(critic.ensembleSize, actionSize) };
  const computation = engine.compile({
    name: 'critic-probe',
    inputs: { ...boundParameters('critic', parameters.views, parameters.shapes), ...inputs },
    outputs: dataOf(outputs),
    fn: ({ observation, action, context, ...rest }) => {
      const live = under('critic', rest);
      const states = normalise(options.observation, observation as tf.Tensor2D);
      const contexts = context && normalise(options.context, context as tf.Tensor2D);
      const members = Array.from(
        { length: critic.ensembleSize },
        (_, i) => (a: tf.Tensor) => memberQ(critic, i, live, states, toNormalised(scaling, a) as tf.Tensor2D, contexts),
      );
      const stack = (tensors: tf.Tensor[]) => tf.stack(tensors, 1);
      return {
        q: stack(members.map((q) => q(action!))),
        dq_da: stack(members.map((q) => tf.grad((a: tf.Tensor) => tf.sum(q(a)))(action!))),
      };
    },
  });
  computation.run();
  computation.dispose();
  return { target: 'critic', inputs: numbers(inputs), outputs: numbers(outputs), tolerance: probeTolerance };
}

type Rows = { readonly shape: number[]; readonly data: Float32Array };

function rows(...sizes: number[]): Rows {
  const shape = [probeRows, ...sizes];
  return { shape, data: new Float32Array(shape.reduce((product, size) => product * size, 1)) };
}

function normals(random: Random, size: number): Rows {
  const made = rows(size);
  random.fillNormal(made.data);
  return made;
}

/** Uniform between the bounds, standard normal where a value has none. */
function probeInput(random: Random, { low, high }: TensorSpec): Rows {
  const made = normals(random, low.length);
  made.data.forEach((_, i) => {
    const [least, most] = [low[i % low.length] ?? null, high[i % low.length] ?? null];
    if (least !== null && most !== null) made.data[i] = least + (most - least) * random.uniform();
  });
  return made;
}

const dataOf = (tensors: Readonly<Record<string, Rows>>): Record<string, Float32Array> =>
  Object.fromEntries(Object.entries(tensors).map(([name, { data }]) => [name, data]));

const numbers = (tensors: Readonly<Record<string, Rows>>): Probe['inputs'] =>
  Object.fromEntries(Object.entries(tensors).map(([name, { shape, data }]) => [name, { shape, values: [...data] }]));
