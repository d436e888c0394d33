/** Probes: inputs with the outputs that the training engine computes from live parameters, apart from the exported files. */

import * as tf from '@tensorflow/tfjs-core';
import { clipToBounds, float32Bounds } from '../../src/contract/bounds.ts';
import { sizeOf } from '../../src/contract/counts.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import { createRandom, type Random } from '../../src/contract/random.ts';
import { mapValues } from '../../src/contract/records.ts';
import { specSize, type TensorSpec } from '../../src/contract/tensor-spec.ts';
import { toNormalised } from '../../src/nn/action-scaling.ts';
import { actionGradient, memberQ } from '../../src/nn/critics/critic.ts';
import { normalise } from '../../src/nn/normalisation.ts';
import { type Parameters, under } from '../../src/nn/parameters.ts';
import { policyOutput } from '../../src/nn/policies/policy.ts';
import type { Graph, Probe } from '../../src/package/manifest.ts';
import { encoderOutputs } from '../../src/posterior/latent-knowledge.ts';
import { boundParameters, type Engine } from '../engine/engine.ts';
import {
  type EncoderExport,
  encoderInputs,
  encoderResults,
  type StepExport,
  splitOf,
  stepResults,
} from './adaptation.ts';
import type { CriticExport } from './critic.ts';
import { type NetworkParameters, namedLayers } from './graphs.ts';
import type { ModelToExport } from './model.ts';
import { type PolicyExport, policyResults } from './policy.ts';
import { type AdaptationExport, adaptationResults } from './task-policy.ts';

const probeRows = 4;
const probeTolerance = 1e-4;
const probeStream = 0x70726f62;

/** Values are drawn from all of a range up to this wide. */
const wideRange = 1000;

/**
 * @param adaptGraph the adaptation's, if the package has one
 * @throws HyperpolicyError invalid_argument: an output that is not finite
 */
export function probes(options: ModelToExport, adaptGraph: Graph | undefined): Probe[] {
  const { model, policy, critic, encoder, step, adaptation } = options;
  const made = [
    ...(policy === null ? [] : [policyProbe(options, policy)]),
    ...(critic === null ? [] : [criticProbe(options, critic)]),
    ...(encoder === undefined ? [] : [encoderProbe(options, encoder)]),
    ...(policy && step && adaptGraph ? [stepProbe(options, policy, step, adaptGraph)] : []),
    ...(policy && adaptation && adaptGraph ? [adaptationProbe(options, policy, adaptation, adaptGraph)] : []),
  ];
  for (const probe of made) checkOutputs(model, probe);
  return made;
}

/** Runs a graph's function once. @param probe.fn gets the live parameters, and the tensors of the inputs by name */
function computed(
  target: Probe['target'],
  engine: Engine,
  {
    parameters: { views, shapes },
    inputs,
    outputs,
    fn,
  }: {
    readonly parameters: NetworkParameters;
    readonly inputs: Readonly<Record<string, Rows>>;
    readonly outputs: Readonly<Record<string, Rows>>;
    readonly fn: (live: Parameters, tensors: Parameters) => Record<string, tf.Tensor>;
  },
): Probe {
  const computation = engine.compile({
    name: `${target}-probe`,
    inputs: { ...boundParameters('live', views, shapes), ...inputs },
    outputs: mapValues(outputs, ({ data }) => data),
    fn: (tensors) => fn(under('live', tensors), tensors),
  });
  computation.run();
  computation.dispose();
  return { target, inputs: numbers(inputs), outputs: numbers(outputs), tolerance: probeTolerance };
}

/** JSON has no NaN and no infinity, and a server would refuse the answers. */
function checkOutputs(model: string, { target, outputs }: Probe): void {
  for (const [name, { values }] of Object.entries(outputs)) {
    const at = values.findIndex((value) => !Number.isFinite(value));
    if (at < 0) continue;
    throw invalidArgument({
      where: `publish "${model}" ${target}`,
      expected: 'finite outputs of the network',
      actual: `${values[at]} at ${at} of "${name}"`,
      remedy:
        'Its weights are not finite, or so large that its values overflow: the training diverged, or the file is damaged',
    });
  }
}

function policyProbe({ specs, engine }: ModelToExport, options: PolicyExport): Probe {
  const { policy, parameters } = options;
  const random = createRandom(0, probeStream);
  const stochastic = policy.distribution !== 'deterministic';
  const inputs = {
    observation: probeInput(random, specs.observation),
    ...((policy.sizes.contextSize ?? 0) > 0 && { context: probeInput(random, specs.context!) }),
    ...(stochastic && { noise: normals(random, specSize(specs.action)) }),
  };
  const outputs = { action: rows(specSize(specs.action)), ...(stochastic && { log_prob: rows() }) };
  return computed('policy', engine, {
    ...{ parameters, inputs, outputs },
    fn: (live, { observation, context, noise }) => {
      const output = policyOutput(
        policy,
        live,
        normalise(options.observation, observation as tf.Tensor2D),
        context && normalise(options.context, context as tf.Tensor2D),
      );
      return policyResults(options, output, noise);
    },
  });
}

function criticProbe({ specs, engine }: ModelToExport, options: CriticExport): Probe {
  const { critic, parameters, scaling } = options;
  const { actionSize, contextSize = 0 } = critic.sizes;
  const random = createRandom(1, probeStream);
  const inputs = {
    observation: probeInput(random, specs.observation),
    action: probeInput(random, specs.action),
    ...(contextSize > 0 && { context: probeInput(random, specs.context!) }),
  };
  const outputs = { q: rows(critic.ensembleSize), dq_da: rows(critic.ensembleSize, actionSize) };
  return computed('critic', engine, {
    ...{ parameters, inputs, outputs },
    fn: (live, { observation, action, context }) => {
      const states = normalise(options.observation, observation as tf.Tensor2D);
      const contexts = context && normalise(options.context, context as tf.Tensor2D);
      const members = Array.from(
        { length: critic.ensembleSize },
        (_, i) => (a: tf.Tensor) => memberQ(critic, i, live, states, toNormalised(scaling, a) as tf.Tensor2D, contexts),
      );
      const stack = (tensors: tf.Tensor[]) => tf.stack(tensors, 1);
      return {
        q: stack(members.map((q) => q(action!))),
        dq_da: stack(members.map((q) => actionGradient(q, action!))),
      };
    },
  });
}

function encoderProbe({ specs, engine }: ModelToExport, options: EncoderExport): Probe {
  const { parameters, encoder, readsNextObservation = false } = options;
  const { aggregation, memorySize } = encoder.steps;
  const random = createRandom(2, probeStream);
  const inputs = {
    observation: probeInput(random, specs.observation),
    action: probeInput(random, specs.action),
    reward: normals(random),
    ...(readsNextObservation && { next_observation: probeInput(random, specs.observation) }),
    ...(memorySize > 0 && { memory: normals(random, memorySize) }),
  };
  const outputs = Object.fromEntries(
    encoderOutputs[aggregation].map((name) => [
      name,
      rows(name === 'next_memory' ? memorySize : encoder.sizes.latentSize),
    ]),
  );
  return computed('encoder', engine, {
    ...{ parameters, inputs, outputs },
    fn: (live, tensors) => encoderResults(options, live, encoderInputs(tensors)),
  });
}

/** The probe begins at the context, as the server generates the weights before it adapts them. */
function stepProbe(
  { specs, engine }: ModelToExport,
  options: PolicyExport,
  { stepSize }: StepExport,
  graph: Graph,
): Probe {
  const { parameters } = options;
  const split = splitOf(options);
  const random = createRandom(3, probeStream);
  const inputs = { context: oneContext(random, specs.context!), ...probeSteps(random, specs) };
  const generate = (live: Parameters, given: tf.Tensor) =>
    namedLayers(split.generate(live, normalise(options.context, given as tf.Tensor2D)));
  return computed('adapt', engine, {
    ...{ parameters, inputs, outputs: resultsOf(graph) },
    fn: (live, { context, observation, action, coefficient }) => {
      const steps = { observation: observation!, action: action!, coefficient: coefficient! };
      return stepResults(options, stepSize, { split, parameters: live, weights: generate(live, context!) }, steps);
    },
  });
}

/** From the context on, as the server starts at the parameters. */
function adaptationProbe(
  { specs, engine }: ModelToExport,
  options: PolicyExport,
  adaptation: AdaptationExport,
  graph: Graph,
): Probe {
  const { policy, parameters } = options;
  const random = createRandom(4, probeStream);
  const inputs = {
    ...((policy.sizes.contextSize ?? 0) > 0 && { context: oneContext(random, specs.context!) }),
    ...probeSteps(random, specs),
  };
  return computed('adapt', engine, {
    ...{ parameters, inputs, outputs: resultsOf(graph) },
    fn: (live, tensors) => adaptationResults(options, adaptation, live, tensors),
  });
}

/** One context, [1, C]. */
function oneContext(random: Random, spec: TensorSpec): Rows {
  const size = specSize(spec);
  return { shape: [1, size], data: probeInput(random, spec).data.slice(0, size) };
}

/** Steps of one task. */
function probeSteps(random: Random, { observation, action }: ModelToExport['specs']) {
  return {
    observation: probeInput(random, observation),
    action: probeInput(random, action),
    coefficient: normals(random),
  };
}

/** Arrays for the outputs of a graph without symbolic sizes. */
const resultsOf = ({ outputs }: Graph): Record<string, Rows> =>
  Object.fromEntries(
    outputs.map(({ name, shape }) => {
      const sizes = shape as number[];
      return [name, { shape: sizes, data: new Float32Array(sizeOf(sizes)) }];
    }),
  );

type Rows = { readonly shape: number[]; readonly data: Float32Array };

function rows(...sizes: number[]): Rows {
  const shape = [probeRows, ...sizes];
  return { shape, data: new Float32Array(sizeOf(shape)) };
}

function normals(random: Random, ...sizes: number[]): Rows {
  const made = rows(...sizes);
  random.fillNormal(made.data);
  return made;
}

/**
 * Uniform between the bounds, standard normal for a value that lacks one. Where they are far apart they say nothing of what is usual, and
 * networks overflow at some of them, such as the largest float32: there it is standard normal. Clipped to the bounds that there are.
 */
function probeInput(random: Random, spec: TensorSpec): Rows {
  const { low, high } = spec;
  const made = normals(random, low.length);
  made.data.forEach((normal, i) => {
    const [least, most] = [low[i % low.length] ?? null, high[i % low.length] ?? null];
    if (least === null || most === null) return;
    made.data[i] = most - least > wideRange ? normal : least + (most - least) * random.uniform();
  });
  clipToBounds(made.data, float32Bounds(spec));
  return made;
}

const numbers = (tensors: Readonly<Record<string, Rows>>): Probe['inputs'] =>
  mapValues(tensors, ({ shape, data }) => ({ shape, values: [...data] }));
