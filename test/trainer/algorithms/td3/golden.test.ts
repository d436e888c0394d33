/** Whole updates of TD3's learner against figures in float64: test/golden/updates/td3.json. */

import { describe, expect, test } from 'vitest';
import { under } from '../../../../src/nn/parameters.ts';
import { type Td3Config, td3Defaults } from '../../../../trainer/algorithms/td3/config.ts';
import { createTd3Learner, type Td3Learner } from '../../../../trainer/algorithms/td3/learner.ts';
import {
  expectGradients,
  type GoldenGradient,
  goldenCases,
  type UpdatesInTurn,
  updatesOf,
} from '../../off-policy/compare.ts';
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
import { tracedEngine as engine } from './fixture.ts';

type Case = GoldenCase & {
  readonly policy_delay: number;
  readonly target_noise: number;
  readonly target_noise_clip: number;
  readonly learning_rates: Readonly<Record<'actor' | 'critic', number>>;
} & UpdatesInTurn<{
    readonly grads: Readonly<Record<string, readonly GoldenGradient[]>>;
    readonly after: Readonly<Record<string, readonly (readonly number[])[]>>;
  }>;

/** A learner at the case's start, with all that its updates read. */
function setUp(golden: Case, updatesPerRun: number) {
  const { action_dim, batch, phases, params, learning_rates: rates } = golden;
  const { goldens, specs, rows, inputs } = goldenSetting(golden);
  const config: Td3Config = {
    ...td3Defaults(criticConfig(golden.critic, params.critic)),
    actorHiddenSizes: rowsOf(params.actor, /^linear\d+\.bias$/).slice(0, -1),
    actorLearningRate: rates.actor,
    criticLearningRate: rates.critic,
    batchSize: batch,
    gamma: golden.gamma,
    tau: golden.tau,
    policyDelay: golden.policy_delay,
    targetNoise: golden.target_noise,
    targetNoiseClip: golden.target_noise_clip,
  };
  const learner = createTd3Learner({ config, specs, engine, seed: 0, updatesPerRun });
  fillStart(learner, goldens);
  const noise = noiseInTurn([rows(action_dim, phases.noise, 1.5).data]);
  const learn = () => learner.learn(batchOf(inputs, learner.networks.scaling), noise);
  return { learner, goldens, learn };
}

const gradientsOf = ({ actor, critic }: Td3Learner, name: string) =>
  name === 'actor' ? actor.gradients : under(name === 'q1' ? 'q0' : 'q1', critic.gradients);

describe.each(goldenCases<Case>(['td3.json']))('%s', (_name, golden) => {
  test('every update meets its gradients, parameters and targets', () => {
    const { learner, goldens, learn } = setUp(golden, 1);
    for (const { grads, after } of updatesOf(golden)) {
      learn();
      for (const [name, expected] of Object.entries(grads)) {
        expectGradients(goldenTensors(goldens[name]!, gradientsOf(learner, name)), expected, name);
      }
      expectStepped(learner, goldens, after);
    }
    learner.dispose();
  });

  test('all in one run, too', () => {
    const updates = updatesOf(golden);
    const { learner, goldens, learn } = setUp(golden, updates.length);
    for (const _ of updates) learn();
    expect(learner.critic.adam.stepCount).toBe(updates.length);
    expectStepped(learner, goldens, updates.at(-1)!.after);
    learner.dispose();
  });
});
