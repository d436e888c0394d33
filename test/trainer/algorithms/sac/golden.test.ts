/** SAC's losses and whole updates against figures in float64: test/golden/updates. */

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { toEnvironment } from '../../../../src/nn/action-scaling.ts';
import { ensembleQ } from '../../../../src/nn/critics/critic.ts';
import { prefixed, shapesOf, under } from '../../../../src/nn/parameters.ts';
import { policyOutput } from '../../../../src/nn/policies/policy.ts';
import { createTrainable } from '../../../../src/optim/trainable.ts';
import { type SacConfig, sacDefaults } from '../../../../trainer/algorithms/sac/config.ts';
import { createSacLearner } from '../../../../trainer/algorithms/sac/learner.ts';
import { sampleActions } from '../../../../trainer/algorithms/sac/losses.ts';
import { createSacNetworks, type SacNetworks } from '../../../../trainer/algorithms/sac/networks.ts';
import { actorStep, criticStep } from '../../../../trainer/algorithms/sac/steps.ts';
import { createTracedEngine } from '../../../../trainer/engine/traced.ts';
import type { Transitions } from '../../../../trainer/off-policy/transitions.ts';
import {
  expectGradients,
  expectList,
  expectNumber,
  type GoldenGradient,
  goldenCases,
  type UpdatesInTurn,
  updatesOf,
} from '../../off-policy/compare.ts';
import { type Compute, computations, type Inputs, networkInputs } from '../../off-policy/compute.ts';
import {
  batchOf,
  criticConfig,
  expectStepped,
  fillStart,
  type GoldenCase,
  goldenSetting,
  noiseInTurn,
  rowsOf,
} from '../../off-policy/golden-learner.ts';
import { goldenTensors } from '../../off-policy/tensors.ts';

type Lists = Readonly<Record<string, readonly number[]>>;
type Update = {
  readonly y: readonly number[];
  readonly critic_losses: readonly number[];
  readonly actor_loss: number;
  readonly actor_grads: readonly GoldenGradient[];
  readonly alpha_loss?: number;
  readonly log_alpha?: number;
  readonly after: Readonly<Record<string, readonly (readonly number[])[]>>;
};
type Case = GoldenCase & {
  readonly reward_scale: number;
  readonly alpha?: number;
  readonly log_alpha?: number;
  readonly target_entropy?: number;
  readonly learning_rates: { readonly actor: number; readonly critic: number; readonly alpha?: number };
  readonly phases: Readonly<Record<'next_noise', number>>;
  readonly start: Lists & {
    readonly next_q: readonly (readonly number[])[];
    readonly q: readonly (readonly number[])[];
    readonly pi_q: readonly (readonly number[])[];
    readonly grads: Readonly<Record<'actor' | 'q1' | 'q2', readonly GoldenGradient[]>>;
    readonly actor_loss: number;
    readonly alpha_loss?: number;
    readonly alpha_grad?: number;
  };
} & UpdatesInTurn<Update>;

const cases = goldenCases<Case>(['sac.json', 'sac-sizes.json']);

/** Everything of a case in our terms. */
function setUp(golden: Case) {
  const { action_dim, phases, params } = golden;
  const { goldens, specs, rows, inputs: transitions } = goldenSetting(golden);
  const config: SacConfig = {
    ...sacDefaults(criticConfig(golden.critic, params.critic), 'Hopper-v5'),
    actorHiddenSizes: rowsOf(params.actor, /^linear\d+\.bias$/),
    gamma: golden.gamma,
    tau: golden.tau,
    rewardScale: golden.reward_scale,
  };
  const networks = createSacNetworks(config, specs);
  const inputs: Inputs = {
    ...transitions,
    nextNoise: rows(action_dim, phases.next_noise, 1.5),
    noise: rows(action_dim, phases.noise, 1.5),
  };
  const logAlpha = golden.log_alpha ?? Math.log(golden.alpha!);
  return { goldens, config, networks, inputs, logAlpha };
}

/** The networks' arrays with all that trains them, at the case's start. */
function createState({ goldens, networks, logAlpha }: ReturnType<typeof setUp>, { learning_rates: rates }: Case) {
  const shapes = { actor: shapesOf(networks.policy.specs), critic: shapesOf(networks.critic.specs) };
  const actor = createTrainable({ shapes: shapes.actor, learningRate: rates.actor, target: false });
  const critic = createTrainable({ shapes: shapes.critic, learningRate: rates.critic, target: true });
  const temperature = createTrainable({ shapes: { logAlpha: [] }, learningRate: rates.alpha ?? 0, target: false });
  fillStart({ actor, critic }, goldens);
  temperature.parameters.logAlpha![0] = logAlpha;
  return { shapes, actor, critic, temperature };
}

type State = ReturnType<typeof createState>;

const stateInputs = ({ shapes, actor, critic, temperature }: State): Inputs => ({
  ...networkInputs('actor', actor.parameters, shapes.actor),
  ...networkInputs('critic', critic.parameters, shapes.critic),
  ...networkInputs('targetCritic', critic.target, shapes.critic),
  logAlpha: { data: temperature.parameters.logAlpha!, shape: [] },
});

/** What the functions under test read of the inputs. */
const read = (tensors: Record<string, tf.Tensor>) => ({
  transitions: tensors as unknown as Transitions,
  actor: under('actor', tensors),
  critic: under('critic', tensors),
  targetCritic: under('targetCritic', tensors),
  noise: tensors.noise as tf.Tensor2D,
  nextNoise: tensors.nextNoise as tf.Tensor2D,
  logAlpha: tensors.logAlpha as tf.Scalar,
});

const criticsOf = (networks: SacNetworks, config: SacConfig) => (tensors: Record<string, tf.Tensor>) => {
  const { transitions, nextNoise, logAlpha, ...parameters } = read(tensors);
  const step = criticStep(networks, parameters, transitions, nextNoise, logAlpha, config);
  return { y: step.target, losses: step.losses, ...prefixed('d', step.gradients) };
};

const actorOf = (networks: SacNetworks, targetEntropy: number) => (tensors: Record<string, tf.Tensor>) => {
  const { transitions, noise, logAlpha, ...parameters } = read(tensors);
  const step = actorStep(networks, parameters, transitions, noise, logAlpha, targetEntropy);
  const { loss, temperatureLoss, temperatureGradient, gradients } = step;
  return { loss, temperatureLoss, temperatureGradient, ...prefixed('d', gradients) };
};

/** Quantities on the way to the losses. */
const partsOf = (networks: SacNetworks) => (tensors: Record<string, tf.Tensor>) => {
  const { transitions, actor, critic, targetCritic, noise, nextNoise } = read(tensors);
  const { observation, nextObservation, action } = transitions;
  const here = policyOutput(networks.policy, actor, observation);
  const next = policyOutput(networks.policy, actor, nextObservation);
  const drawn = sampleActions(networks, actor, { observation }, noise);
  const nextDrawn = sampleActions(networks, actor, { observation: nextObservation }, nextNoise);
  const q = (parameters: typeof critic, s: tf.Tensor2D, a: tf.Tensor2D) =>
    tf.transpose(ensembleQ(networks.critic, parameters, s, a)); // [Q, B]
  return {
    mean: here.mean,
    log_std: here.logStd!,
    pi_action: drawn.action,
    pi_action_env: toEnvironment(networks.scaling, drawn.action),
    log_prob: drawn.logProb,
    next_mean: next.mean,
    next_log_std: next.logStd!,
    next_action: nextDrawn.action,
    next_log_prob: nextDrawn.logProb,
    q: q(critic, observation, action),
    pi_q: q(critic, observation, drawn.action),
    next_q: q(targetCritic, nextObservation, nextDrawn.action),
  };
};

describe.each(computations)('%s', (_engine, compute) => {
  describe.each(cases)('%s', (_name, golden) => {
    test('meets every quantity, loss and gradient at the start', () => {
      const given = setUp(golden);
      const state = createState(given, golden);
      const inputs = { ...given.inputs, ...stateInputs(state) };
      for (const [name, values] of Object.entries(compute(inputs, partsOf(given.networks)))) {
        const expected = golden.start[name];
        if (name !== 'pi_action_env') expect(expected, name).toBeDefined();
        if (expected !== undefined) expectList(values, expected.flat(), name);
      }
      const critics = compute(inputs, criticsOf(given.networks, given.config));
      expectList(critics.y!, golden.start.y!, 'y');
      expectList(critics.losses!, golden.start.critic_losses!, 'critic losses');
      const { actor, q1, q2 } = golden.start.grads;
      const gradients = under('d', critics);
      expectGradients(goldenTensors(given.goldens.q1!, under('q0', gradients)), q1, 'q1');
      expectGradients(goldenTensors(given.goldens.q2!, under('q1', gradients)), q2, 'q2');
      const actors = compute(inputs, actorOf(given.networks, golden.target_entropy ?? 0));
      expectNumber(actors.loss![0]!, golden.start.actor_loss, 'actor loss');
      expectGradients(goldenTensors(given.goldens.actor!, under('d', actors)), actor, 'actor');
      if (golden.start.alpha_loss === undefined) return;
      expectNumber(actors.temperatureLoss![0]!, golden.start.alpha_loss, 'alpha loss');
      expectNumber(actors.temperatureGradient![0]!, golden.start.alpha_grad!, 'alpha gradient');
    });

    test('meets whole updates in turn', () => {
      const given = setUp(golden);
      const state = createState(given, golden);
      for (const expected of updatesOf(golden)) updateOnce(given, state, golden, compute, expected);
    });
  });
});

/** One update in the stated order, compared at every stage. */
function updateOnce(
  { goldens, config, networks, inputs }: ReturnType<typeof setUp>,
  state: State,
  golden: Case,
  compute: Compute,
  expected: Update,
): void {
  const { actor, critic, temperature } = state;
  const critics = compute({ ...inputs, ...stateInputs(state) }, criticsOf(networks, config));
  expectList(critics.y!, expected.y, 'y');
  expectList(critics.losses!, expected.critic_losses, 'critic losses');
  for (const [name, view] of Object.entries(critic.gradients)) view.set(critics[`d.${name}`]!);
  critic.adam.step();

  const actors = compute({ ...inputs, ...stateInputs(state) }, actorOf(networks, golden.target_entropy ?? 0));
  expectNumber(actors.loss![0]!, expected.actor_loss, 'actor loss');
  expectGradients(goldenTensors(goldens.actor!, under('d', actors)), expected.actor_grads, 'actor');
  for (const [name, view] of Object.entries(actor.gradients)) view.set(actors[`d.${name}`]!);
  actor.adam.step();

  if (golden.log_alpha !== undefined) {
    expectNumber(actors.temperatureLoss![0]!, expected.alpha_loss!, 'alpha loss');
    temperature.gradients.logAlpha!.set(actors.temperatureGradient!);
    temperature.adam.step();
    expect(Math.abs(temperature.parameters.logAlpha![0]! - expected.log_alpha!)).toBeLessThan(1e-6);
  }
  critic.followTarget(golden.tau);

  expectStepped({ actor, critic }, goldens, expected.after);
}

const engine = createTracedEngine({ threadCount: 1 });

describe.each(cases)('%s', (_name, golden) => {
  test.each(['one by one', 'in one run'])('the updates of a learner, %s, meet those', (way) => {
    const { goldens, config, networks, inputs, logAlpha } = setUp(golden);
    const { actor, critic, alpha } = golden.learning_rates;
    const updates = updatesOf(golden);
    const learner = createSacLearner({
      config: {
        ...config,
        batchSize: golden.batch,
        actorLearningRate: actor,
        criticLearningRate: critic,
        ...(golden.log_alpha !== undefined && { temperature: 'learned', alphaLearningRate: alpha! }),
        alpha: Math.exp(logAlpha),
        targetEntropy: golden.target_entropy,
      },
      specs: networks.specs,
      engine,
      seed: 0,
      updatesPerRun: way === 'one by one' ? 1 : updates.length,
    });
    fillStart(learner, goldens);
    const noise = noiseInTurn([inputs.nextNoise!.data, inputs.noise!.data]);
    for (const [i, { after, log_alpha }] of updates.entries()) {
      learner.learn(batchOf(inputs, networks.scaling), noise);
      if (way === 'in one run' && i + 1 < updates.length) continue;
      expectStepped(learner, goldens, after);
      if (log_alpha === undefined) continue;
      expect(Math.abs(learner.temperature.parameters.logAlpha![0]! - log_alpha)).toBeLessThan(1e-6);
    }
    learner.dispose();
  });
});
