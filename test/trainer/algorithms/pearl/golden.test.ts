/** PEARL's posterior, losses, gradients and whole updates against figures in float64: test/golden/updates. */

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { plainSpec } from '../../../../src/contract/tensor-spec.ts';
import { ensembleQ, memberQ } from '../../../../src/nn/critics/critic.ts';
import { productOfGaussians } from '../../../../src/nn/distributions.ts';
import { gaussianHead, latentKl, type Posterior } from '../../../../src/nn/encoders/encoder.ts';
import { type ParameterSpecs, prefixed, shapesOf, under } from '../../../../src/nn/parameters.ts';
import { valueAndGradients } from '../../../../src/trace/differentiate.ts';
import { type PearlConfig, pearlDefaults } from '../../../../trainer/algorithms/pearl/config.ts';
import {
  type Context,
  drawActions,
  drawLatent,
  posteriorOf,
  smallerQ,
  type Transitions,
} from '../../../../trainer/algorithms/pearl/losses.ts';
import { createPearlNetworks, latentRows, type PearlNetworks } from '../../../../trainer/algorithms/pearl/networks.ts';
import { createPearlParameters, type PearlParameters } from '../../../../trainer/algorithms/pearl/parameters.ts';
import { policyStep, qStep } from '../../../../trainer/algorithms/pearl/steps.ts';
import { createUpdates, type Updates } from '../../../../trainer/algorithms/pearl/updates.ts';
import { createTracedEngine } from '../../../../trainer/engine/traced.ts';
import { type ReferenceParameter, sine } from '../../../nn/reference.ts';
import {
  expectAfter,
  expectGradients,
  expectList,
  expectNumber,
  type GoldenGradient,
  goldenCases,
  normOf,
  type UpdatesInTurn,
  updatesOf,
} from '../../off-policy/compare.ts';
import { computations, type Inputs, networkInputs } from '../../off-policy/compute.ts';
import { noiseInTurn } from '../../off-policy/golden-learner.ts';
import {
  type GoldenNetwork,
  goldenNetworks,
  goldenTensors,
  gruEncoderPlaces,
  hyperPlaces,
  mlpPlaces,
  startOf,
} from '../../off-policy/tensors.ts';

type Update = {
  readonly z: readonly number[];
  readonly kl: number;
  readonly q_losses: readonly number[];
  readonly v_loss: number;
  readonly policy_loss: number;
  readonly grad_norms: Readonly<Record<'encoder' | 'v' | 'policy', number>>;
  readonly after: Readonly<Record<string, readonly (readonly number[])[]>>;
};
type Start = Omit<Update, 'after' | 'grad_norms'> & {
  readonly parts: readonly { readonly transitions: number; readonly mean: number[]; readonly variance: number[] }[];
  readonly grad_norms: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly grads: Readonly<Record<string, readonly GoldenGradient[]>>;
  readonly policy_terms: readonly number[];
} & Readonly<Record<'posterior_mean' | 'posterior_variance' | 'y' | 'v' | 'mean' | 'log_std', readonly number[]>> &
  Readonly<Record<'pi_action' | 'log_prob' | 'v_target', readonly number[]>> & { readonly q: readonly number[][] };
type Case = {
  readonly networks: 'hyper' | 'mlp';
  /** Joins transitions by a product unless given. */
  readonly encoder?: 'mean' | 'gru';
  /** Whether the encoder reads [s, a, r, s']. */
  readonly next_observation?: boolean;
  readonly state_dim: number;
  readonly action_dim: number;
  readonly latent_dim: number;
  readonly tasks: number;
  readonly batch: number;
  readonly context: number;
  readonly gamma: number;
  readonly tau: number;
  readonly reward_scale: number;
  readonly kl_weight: number;
  readonly mean_weight: number;
  readonly log_std_weight: number;
  readonly learning_rates: Readonly<Record<'encoder' | 'policy' | 'q' | 'v', number>>;
  readonly phases: Readonly<Record<string, number>>;
  readonly terminated: readonly number[];
  readonly params: Readonly<Record<'encoder' | 'policy' | 'q' | 'v', readonly ReferenceParameter[]>>;
  readonly order: readonly string[];
  readonly start: Start;
} & UpdatesInTurn<Update>;

type Product = Readonly<Record<'factor_mean' | 'factor_spread', readonly number[][]>> &
  Readonly<Record<'posterior_mean' | 'posterior_variance' | 'dkl_dmean' | 'dkl_dspread', readonly number[]>> & {
    readonly kl: number;
  };
const given = goldenCases<Case | Product>(['pearl.json', 'pearl-sizes.json']);
const products = given.filter((entry): entry is [string, Product] => 'factor_mean' in entry[1]);
const cases = given.filter((entry): entry is [string, Case] => 'networks' in entry[1]);

type Kind = keyof Case['params'];
const kindOf = (network: string): Kind =>
  network === 'v_target' ? 'v' : network === 'q1' || network === 'q2' ? 'q' : (network as Kind);

/** Everything of a case in our terms. */
function setUp(golden: Case) {
  const { state_dim, action_dim, latent_dim, tasks, params, phases } = golden;
  const goldens = goldenNetworks(golden.order, (name) => ({
    tensors: params[kindOf(name)],
    places: placesOf(golden, kindOf(name)),
  }));
  const rowsOf = (kind: Kind, pattern: RegExp) =>
    params[kind].filter(({ name }) => pattern.test(name)).map(({ shape }) => shape[0]!);
  const config: PearlConfig = {
    ...pearlDefaults(golden.networks),
    hyper: {
      trunkSizes: rowsOf('q', /^hyper\.hyper\.\d+\.bias$/),
      dynamicHiddenSizes: rowsOf('q', /^layer1\.b1\.bias$/),
    },
    hiddenSizes: rowsOf('q', /^fc\d\.bias$/),
    encoder: {
      architecture: golden.encoder === 'gru' ? 'pearl-gru-encoder' : 'pearl-encoder',
      hiddenSizes: rowsOf('encoder', /^fc\d\.bias$/),
      ...(golden.encoder === 'mean' && { aggregation: 'mean' }),
    },
    encodesNextObservation: golden.next_observation === true,
    latentSize: latent_dim,
    gamma: golden.gamma,
    tau: golden.tau,
    rewardScale: golden.reward_scale,
    klWeight: golden.kl_weight,
    meanWeight: golden.mean_weight,
    logStdWeight: golden.log_std_weight,
    encoderLearningRate: golden.learning_rates.encoder,
    policyLearningRate: golden.learning_rates.policy,
    qLearningRate: golden.learning_rates.q,
    valueLearningRate: golden.learning_rates.v,
    metaBatchSize: tasks,
    batchSize: golden.batch,
    contextBatchSize: golden.context,
  };
  const networks = createPearlNetworks(config, {
    observation: plainSpec('observation', state_dim),
    action: plainSpec('action', action_dim, { low: -1, high: 1 }),
    context: null,
  });
  const input = (phase: string, shape: number[], scale?: number) => ({
    data: sine(
      shape.reduce((product, size) => product * size, 1),
      phases[phase]!,
      scale,
    ),
    shape,
  });
  const rows = tasks * golden.batch;
  const inputs: Inputs = {
    contextObservation: input('context_state', [tasks, golden.context, state_dim]),
    contextAction: input('context_action', [tasks, golden.context, action_dim], 0.9),
    contextReward: input('context_reward', [tasks, golden.context]),
    ...(golden.next_observation && {
      contextNextObservation: input('context_next_state', [tasks, golden.context, state_dim]),
    }),
    latentNoise: input('latent_noise', [tasks, latent_dim], 1.5),
    observation: input('state', [rows, state_dim]),
    action: input('action', [rows, action_dim], 0.9),
    reward: input('reward', [rows]),
    nextObservation: input('next_state', [rows, state_dim]),
    terminated: { data: Float32Array.from(golden.terminated), shape: [rows] },
    noise: input('noise', [rows, action_dim], 1.5),
  };
  return { goldens, config, networks, inputs };
}

function placesOf(golden: Case, kind: Kind): GoldenNetwork['places'] {
  const { networks, params, state_dim, action_dim, latent_dim } = golden;
  if (kind === 'encoder' && golden.encoder === 'gru') return gruEncoderPlaces(params.encoder);
  if (networks === 'mlp' || kind === 'encoder') return mlpPlaces(params[kind]);
  const sizes = { observationSize: state_dim, actionSize: action_dim, contextSize: latent_dim };
  if (kind === 'v') return hyperPlaces('sa-hyper', { ...sizes, actionSize: latent_dim, contextSize: 0 }, params.v);
  return hyperPlaces(kind === 'q' ? 'pearl-hyper-critic' : 'pearl-hyper-policy', sizes, params[kind]);
}

function fill(views: Readonly<Record<string, Float32Array>>, values: Readonly<Record<string, Float32Array>>): void {
  for (const [name, view] of Object.entries(views)) view.set(values[name]!);
}

const specsOf = ({ encoder, policy, q, value }: PearlNetworks): Record<Kind, ParameterSpecs> => ({
  encoder: encoder.specs,
  policy: policy.specs,
  q: q.specs,
  v: value.specs,
});

/** The parameters with all that trains them, at the case's start. */
function parametersAtStart({ goldens, networks, config }: ReturnType<typeof setUp>): PearlParameters {
  const start = (name: string) => startOf(goldens[name]!);
  const parameters = createPearlParameters(networks, config, 0);
  const { policy, q, value } = parameters.trainables;
  fill(parameters.encoder!.trainable.parameters, start('encoder'));
  fill(policy.parameters, start('policy'));
  fill(q.parameters, { ...prefixed('q0', start('q1')), ...prefixed('q1', start('q2')) });
  fill(value.parameters, prefixed('q0', start('v')));
  fill(value.target, prefixed('q0', start('v_target')));
  return parameters;
}

/** Everything that a step reads, at the case's start. */
function inputsAtStart(given: ReturnType<typeof setUp>): Inputs {
  const { trainables, encoder } = parametersAtStart(given);
  const specs = specsOf(given.networks);
  return {
    ...given.inputs,
    ...networkInputs('encoder', encoder!.trainable.parameters, shapesOf(specs.encoder)),
    ...networkInputs('policy', trainables.policy.parameters, shapesOf(specs.policy)),
    ...networkInputs('q', trainables.q.parameters, shapesOf(specs.q)),
    ...networkInputs('v', trainables.value.parameters, shapesOf(specs.v)),
    ...networkInputs('targetValue', trainables.value.target, shapesOf(specs.v)),
  };
}

type Tensors = Record<string, tf.Tensor>;

/** What the functions under test read of the inputs. */
const read = (tensors: Tensors) => ({
  context: {
    observation: tensors.contextObservation,
    action: tensors.contextAction,
    reward: tensors.contextReward,
    nextObservation: tensors.contextNextObservation,
  } as Context,
  transitions: tensors as unknown as Transitions,
  encoder: under('encoder', tensors),
  policy: under('policy', tensors),
  q: under('q', tensors),
  value: under('v', tensors),
  targetValue: under('targetValue', tensors),
  latentNoise: tensors.latentNoise as tf.Tensor2D,
  noise: tensors.noise as tf.Tensor2D,
});

const firstStep = (networks: PearlNetworks, config: PearlConfig) => (tensors: Tensors) => {
  const { context, transitions, latentNoise, ...parameters } = read(tensors);
  const step = qStep(networks, parameters, { context, transitions }, latentNoise, config);
  const { latent, kl, target, losses } = step;
  return { z: latent, kl, y: target, losses, ...prefixed('q', step.q), ...prefixed('encoder', step.encoder) };
};

const secondStep = (networks: PearlNetworks, config: PearlConfig) => (tensors: Tensors) => {
  const { transitions, noise, ...parameters } = read(tensors);
  const step = policyStep(networks, parameters, transitions.observation, tensors.z as tf.Tensor2D, noise, config);
  const { valueLoss, policyLoss } = step;
  return { valueLoss, policyLoss, ...prefixed('v', step.value), ...prefixed('policy', step.policy) };
};

/** Quantities on the way to the losses. */
const partsOf =
  (networks: PearlNetworks, { start }: Case) =>
  (tensors: Tensors): Tensors => {
    const { context, transitions, latentNoise, noise, ...parameters } = read(tensors);
    const posterior = posteriorOf(networks, parameters.encoder, context);
    const z = drawLatent(posterior, latentNoise);
    const { observation, action } = transitions;
    const rows = latentRows(z, observation.shape[0]);
    const draw = drawActions(networks, parameters.policy, observation, z, noise);
    const smaller = smallerQ(networks, parameters.q, observation, draw.action, z);
    let from = 0;
    const parts = start.parts.map(({ transitions: count }) => {
      const slice = <T extends tf.Tensor>(x: T) =>
        tf.slice(x, [0, from, ...Array(x.rank - 2).fill(0)], [x.shape[0]!, count, ...x.shape.slice(2)]) as T;
      const own: Context = {
        observation: slice(context.observation),
        action: slice(context.action),
        reward: slice(context.reward),
        nextObservation: context.nextObservation && slice(context.nextObservation),
      };
      from += count;
      return posteriorOf(networks, parameters.encoder, own);
    });
    return {
      posterior_mean: posterior.mean,
      posterior_variance: posterior.variance,
      ...Object.fromEntries(
        parts.flatMap(({ mean, variance }, i) => [
          [`mean${i}`, mean],
          [`variance${i}`, variance],
        ]),
      ),
      q: tf.transpose(ensembleQ(networks.q, parameters.q, observation, action, rows)),
      v: memberQ(networks.value, 0, parameters.value, observation, rows),
      mean: draw.mean,
      log_std: draw.logStd,
      pi_action: draw.action,
      log_prob: draw.logProb,
      v_target: tf.sub(smaller, draw.logProb),
    };
  };

describe.each(computations)('%s', (_engine, compute) => {
  describe.each(cases)('%s', (_name, golden) => {
    test('meets every quantity on the way to the losses', () => {
      const given = setUp(golden);
      const actual = compute(inputsAtStart(given), partsOf(given.networks, golden));
      const { start } = golden;
      const lists = ['posterior_mean', 'posterior_variance', 'v', 'mean', 'log_std', 'pi_action', 'log_prob'] as const;
      for (const name of lists) expectList(actual[name]!, start[name], name);
      expectList(actual.v_target!, start.v_target, 'v_target');
      expectList(actual.q!, start.q.flat(), 'q');
      start.parts.forEach(({ mean, variance }, i) => {
        expectList(actual[`mean${i}`]!, mean, `mean of part ${i}`);
        expectList(actual[`variance${i}`]!, variance, `variance of part ${i}`);
      });
    });

    test('meets every loss and gradient at the start', () => {
      const given = setUp(golden);
      const { goldens, networks, config } = given;
      const inputs = inputsAtStart(given);
      const { start } = golden;
      const first = compute(inputs, firstStep(networks, config));
      expectList(first.z!, start.z, 'z');
      expectNumber(first.kl![0]!, start.kl, 'kl');
      expectList(first.y!, start.y, 'y');
      expectList(first.losses!, start.q_losses, 'q losses');
      const z = { data: first.z!, shape: [golden.tasks, golden.latent_dim] };
      const second = compute({ ...inputs, z }, secondStep(networks, config));
      expectNumber(second.valueLoss![0]!, start.v_loss, 'v loss');
      expectNumber(second.policyLoss![0]!, start.policy_loss, 'policy loss');
      const gradients: Record<string, Readonly<Record<string, Float32Array>>> = {
        encoder: under('encoder', first),
        q1: under('q.q0', first),
        q2: under('q.q1', first),
        v: under('v.q0', second),
        policy: under('policy', second),
      };
      for (const [name, expected] of Object.entries(start.grads)) {
        expectGradients(goldenTensors(goldens[name]!, gradients[name]!), expected, name);
      }
    });
  });

  test.each(products)(
    '%s: Gaussians and their divergence have their gradients, at the floor of the variance too',
    (_name, product) => {
      const shape = [product.factor_mean.length, product.factor_mean[0]!.length];
      const input = (rows: readonly number[][]) => ({ data: Float32Array.from(rows.flat()), shape });
      const actual = compute({ mean: input(product.factor_mean), spread: input(product.factor_spread) }, (tensors) => {
        const posterior = (mean: tf.Tensor, spread: tf.Tensor): Posterior => {
          const factors = gaussianHead(tf.concat([mean, spread], 1));
          const { mean: m, variance } = productOfGaussians(factors, 0);
          return { mean: tf.expandDims(m, 0), variance: tf.expandDims(variance, 0) };
        };
        const { value, gradients } = valueAndGradients(
          ({ mean, spread }) => tf.sum(latentKl(posterior(mean!, spread!))) as tf.Scalar,
          tensors,
        );
        const whole = posterior(tensors.mean!, tensors.spread!);
        return { ...whole, kl: value, dmean: gradients.mean!, dspread: gradients.spread! };
      });
      expectList(actual.mean!, product.posterior_mean, 'mean');
      expectList(actual.variance!, product.posterior_variance, 'variance');
      expectNumber(actual.kl![0]!, product.kl, 'kl');
      expectList(actual.dmean!, product.dkl_dmean, 'gradient of the means');
      expectList(actual.dspread!, product.dkl_dspread, 'gradient of the spreads');
    },
  );
});

test.each(cases)('%s: the updates of a run meet whole ones in turn', (_name, golden) => {
  const given = setUp(golden);
  const { networks, config, goldens } = given;
  const { latentSize } = config;
  const parameters = parametersAtStart(given);
  const engine = createTracedEngine({ threadCount: 1 });
  const updates = createUpdates({ engine, config, networks, parameters, latentSize });
  const { policy, q, value } = parameters.trainables;
  const encoder = parameters.encoder!.trainable;
  fillBatches(updates, given.inputs);
  const noise = noiseInTurn([given.inputs.latentNoise!.data, given.inputs.noise!.data]);
  for (const expected of updatesOf(golden)) {
    const metrics = updates.update(noise);
    expectList(updates.latents, expected.z, 'z');
    expectNumber(metrics.kl!, expected.kl, 'kl');
    expectNumber(metrics.qLoss!, expected.q_losses[0]! + expected.q_losses[1]!, 'Q losses');
    expectNumber(metrics.valueLoss!, expected.v_loss, 'V loss');
    expectNumber(metrics.policyLoss!, expected.policy_loss, 'policy loss');
    for (const [name, { gradients }] of Object.entries({ encoder, policy, v: value })) {
      const norm = expected.grad_norms[name as keyof Update['grad_norms']];
      expectNumber(normOf(Object.values(gradients)), norm, `${name} gradient`);
    }
    const arrays: Record<string, Readonly<Record<string, Float32Array>>> = {
      encoder: encoder.parameters,
      policy: policy.parameters,
      q1: under('q0', q.parameters),
      q2: under('q1', q.parameters),
      v: under('q0', value.parameters),
      v_target: under('q0', value.target),
    };
    for (const [name, values] of Object.entries(expected.after)) {
      expectAfter(goldenTensors(goldens[name]!, arrays[name]!), values, name);
    }
  }
  updates.dispose();
});

/** Each task's rows, as a learner samples them. */
function fillBatches({ batches, contexts }: Updates, inputs: Inputs): void {
  const part = (name: string, n: number) => {
    const { data } = inputs[name]!;
    const size = data.length / batches.length;
    return data.subarray(n * size, (n + 1) * size);
  };
  batches.forEach((batch, n) => {
    for (const name of ['observation', 'action', 'reward', 'nextObservation', 'terminated'] as const) {
      batch[name].set(part(name, n));
    }
    const context = contexts[n]!;
    context.observation.set(part('contextObservation', n));
    context.action.set(part('contextAction', n));
    context.reward.set(part('contextReward', n));
    if (inputs.contextNextObservation) context.nextObservation.set(part('contextNextObservation', n));
  });
}

const minus = (all: Record<string, Float32Array>, some: Record<string, Float32Array>) =>
  Object.entries(all).map(([name, values]) => values.map((value, i) => value - some[name]![i]!));

// Gradients add up over losses, so a weight of 0 takes a loss away.
test.each(cases)('%s: each loss reaches the networks that are given for it, as much as given', (_name, golden) => {
  const given = setUp(golden);
  const { networks, config } = given;
  const inputs = inputsAtStart(given);
  const compute = computations[0]![1];
  const norms = golden.start.grad_norms;

  const first = compute(inputs, firstStep(networks, config));
  const withoutKl = compute(inputs, firstStep(networks, { ...config, klWeight: 0 }));
  const encoder = under('encoder', withoutKl);
  expectNumber(normOf(Object.values(encoder)), norms.q_losses!.encoder!, 'Q losses to the encoder');
  const divergence = Math.abs(normOf(minus(under('encoder', first), encoder)) - norms.kl!.encoder!);
  expect(divergence, 'divergence to the encoder').toBeLessThan(3e-5 * (norms.kl!.encoder! + norms.q_losses!.encoder!));
  for (const [twin, ours] of [
    ['q1', 'q.q0'],
    ['q2', 'q.q1'],
  ] as const) {
    expectNumber(normOf(Object.values(under(ours, withoutKl))), norms.q_losses![twin]!, `Q losses to ${twin}`);
    expect(normOf(minus(under(ours, first), under(ours, withoutKl))), `divergence to ${twin}`).toBe(0);
  }

  const withLatent = { ...inputs, z: { data: first.z!, shape: [golden.tasks, golden.latent_dim] } };
  const second = compute(withLatent, secondStep(networks, config));
  const plain = compute(withLatent, secondStep(networks, { ...config, meanWeight: 0, logStdWeight: 0 }));
  expectNumber(normOf(Object.values(under('v', second))), norms.v_loss!.v!, 'V loss to V');
  const whole = normOf(Object.values(under('policy', second)));
  expectNumber(whole, norms.policy_loss!.policy!, 'policy loss, penalties included, to the policy');
  const penalties = minus(under('policy', second), under('policy', plain));
  // A difference of float32 gradients a thousand times larger.
  const expected = norms.regularisers!.policy!;
  expect(Math.abs(normOf(penalties) - expected)).toBeLessThanOrEqual(1e-2 * expected);
  // Neither of these losses has a gradient for another network: z is an input of their step.
  expect(Object.keys(second).filter((name) => !/^(valueLoss|policyLoss|(v|policy)\..*)$/.test(name))).toEqual([]);
});
